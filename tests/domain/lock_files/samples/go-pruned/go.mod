module example.org/sample

go 1.21

require (
	github.com/dgrijalva/jwt-go v3.2.0+incompatible
	golang.org/x/crypto v0.0.0-20201016220609-9e8e0b390897
	golang.org/x/text v0.3.5
	gopkg.in/yaml.v2 v2.2.3
)

replace gopkg.in/yaml.v2 v2.2.3 => gopkg.in/yaml.v2 v2.2.4

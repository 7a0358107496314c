// A small status page. Everything that is wrong here is wrong on purpose: see tests/scans/planted.py.
package main

import (
	"fmt"
	"net/http"
	"os"

	"golang.org/x/text/language"
)

const awsKey = "@@aws@@"

var adminPassword = "@@password2@@"

var apiToken = os.Getenv("STATUS_TOKEN")

func page(w http.ResponseWriter, r *http.Request) {
	tags, _, _ := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	fmt.Fprintf(w, "<h1>%s</h1> %v %d", r.URL.Query().Get("name"), tags, len(awsKey)+len(adminPassword)+len(apiToken))
}

func main() {
	http.HandleFunc("/", page)
	fmt.Println(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}

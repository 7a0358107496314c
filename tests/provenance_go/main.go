// Checks the provenance of a build with the libraries that slsa-verifier is made of: DSSE by go-securesystemslib, the
// statement and the SLSA predicate by in-toto's attestation module.
//
//	verify ENVELOPE PUBLIC_KEY_PEM SHA256_OF_THE_ARTIFACT COMMIT
package main

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"os"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	statement "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"
	"google.golang.org/protobuf/encoding/protojson"
)

// named believes a key of ours under the id by which the engine publishes it.
type named struct {
	dsse.Verifier
	id string
}

func (key named) KeyID() (string, error)   { return key.id, nil }
func (key named) Public() crypto.PublicKey { return key.Verifier.Public() }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("verified")
}

func run(arguments []string) error {
	if len(arguments) != 4 {
		return fmt.Errorf("verify ENVELOPE PUBLIC_KEY_PEM SHA256_OF_THE_ARTIFACT COMMIT")
	}
	text, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	payload, err := verified(text, arguments[1])
	if err != nil {
		return err
	}
	return checked(payload, arguments[2], arguments[3])
}

func verified(text []byte, keyFile string) ([]byte, error) {
	var envelope dsse.Envelope
	if err := json.Unmarshal(text, &envelope); err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	verifier, err := signerverifier.NewECDSASignerVerifierFromSSLibKey(&signerverifier.SSLibKey{
		KeyType: "ecdsa",
		Scheme:  "ecdsa-sha2-nistp256",
		KeyVal:  signerverifier.KeyVal{Public: string(pem)},
	})
	if err != nil {
		return nil, err
	}
	if len(envelope.Signatures) != 1 {
		return nil, fmt.Errorf("%d signatures", len(envelope.Signatures))
	}
	checker, err := dsse.NewEnvelopeVerifier(named{verifier, envelope.Signatures[0].KeyID})
	if err != nil {
		return nil, err
	}
	if _, err := checker.Verify(context.Background(), &envelope); err != nil {
		return nil, err
	}
	return envelope.DecodeB64Payload()
}

func checked(payload []byte, digest string, commit string) error {
	var found statement.Statement
	if err := protojson.Unmarshal(payload, &found); err != nil {
		return err
	}
	if err := found.Validate(); err != nil {
		return err
	}
	predicate, err := found.Predicate.MarshalJSON()
	if err != nil {
		return err
	}
	var made provenance.Provenance
	if err := protojson.Unmarshal(predicate, &made); err != nil {
		return err
	}
	if err := made.Validate(); err != nil {
		return err
	}
	if found.PredicateType != "https://slsa.dev/provenance/v1" || found.Subject[0].Digest["sha256"] != digest {
		return fmt.Errorf("it is about something else")
	}
	if made.BuildDefinition.ResolvedDependencies[0].Digest["gitCommit"] != commit {
		return fmt.Errorf("it is of another commit")
	}
	return nil
}

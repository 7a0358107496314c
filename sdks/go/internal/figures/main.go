// Prints what the SDK adds to a program: its size, the time to build it without a cache of this module, and to start it.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	with    = "package main\n\nimport aiagents \"github.com/ai-agents/sdk\"\n\nfunc main() { _, _ = aiagents.NewClient(aiagents.WithBaseURL(\"http://localhost\")) }\n"
	without = "package main\n\nimport \"net/http\"\n\nfunc main() { _, _ = http.NewRequest(\"GET\", \"http://localhost\", nil) }\n"
	starts  = 20
)

func main() {
	here, err := os.Getwd()
	if err != nil {
		log.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "figures")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	for name, source := range map[string]string{"net/http alone": without, "with the SDK": with} {
		if err := measure(here, folder, name, source); err != nil {
			log.Print(err)
		}
	}
}

func measure(here, folder, name, source string) error {
	module := "module figures\n\ngo 1.24\n\nrequire github.com/ai-agents/sdk v0.0.0\n\nreplace github.com/ai-agents/sdk => " + here + "\n"
	if err := os.WriteFile(filepath.Join(folder, "go.mod"), []byte(module), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(source), 0o600); err != nil {
		return err
	}
	program := filepath.Join(folder, "program")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, ".")
	build.Dir, build.Stderr = folder, os.Stderr
	began := time.Now()
	if err := build.Run(); err != nil {
		return err
	}
	built := time.Since(began)
	found, err := os.Stat(program)
	if err != nil {
		return err
	}
	fastest := time.Hour
	for range starts {
		began = time.Now()
		if err := exec.Command(program).Run(); err != nil {
			return err
		}
		fastest = min(fastest, time.Since(began))
	}
	fmt.Printf("%-15s %5.1f MB, built in %s, runs and ends in %s\n", name, float64(found.Size())/1e6, built.Round(time.Millisecond), fastest.Round(100*time.Microsecond))
	return nil
}

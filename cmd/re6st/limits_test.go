package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each limit says which test reaches it: that there is such a test is all that can be
// checked here.
func TestEachLimitHasANumberAndATest(t *testing.T) {
	for _, p := range allLimits() {
		files, err := filepath.Glob(filepath.Join("../..", p.Package, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no tests: %v", p.Package, err)
		}
		var tests strings.Builder
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
		seen := map[string]bool{}
		for _, l := range p.Limits {
			if l.Name == "" || l.Value <= 0 || l.Unit == "" || l.Per == "" || l.Beyond == "" {
				t.Errorf("%s: %+v lacks something", p.Package, l)
			}
			if seen[l.Name] {
				t.Errorf("%s: %q is listed twice", p.Package, l.Name)
			}
			seen[l.Name] = true
			if !strings.Contains(tests.String(), "\nfunc "+l.Test+"(t *testing.T)") {
				t.Errorf("%s: %q has no test %s", p.Package, l.Name, l.Test)
			}
		}
	}
}

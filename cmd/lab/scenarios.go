package lab

import (
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// scenarioFiles are the scenarios that the binary has: `lab run --scenario relay`.
//
//go:embed scenarios/*.scenario
var scenarioFiles embed.FS

const (
	scenarioFolder = "scenarios/"
	scenarioSuffix = ".scenario"
)

// scenarioNames lists the scenarios that the binary has, sorted.
func scenarioNames() []string {
	paths, err := fs.Glob(scenarioFiles, scenarioFolder+"*"+scenarioSuffix)
	if err != nil {
		panic(err) // the pattern is ours
	}
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(strings.TrimPrefix(p, scenarioFolder), scenarioSuffix)
	}
	return paths
}

// openScenario opens one that the binary has by its name, or else a file.
func openScenario(name string) (io.ReadCloser, error) {
	if f, err := scenarioFiles.Open(scenarioFolder + name + scenarioSuffix); err == nil {
		return f, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("lab: --scenario: %w; those without a file are %v", err, scenarioNames())
	}
	return f, nil
}

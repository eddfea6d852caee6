package simnet

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

// scenarioFiles are the scenarios that the binary has: `sim --scenario split`.
//
//go:embed scenarios/*.scenario
var scenarioFiles embed.FS

const (
	scenarioFolder = "scenarios/"
	scenarioSuffix = ".scenario"
)

// DefaultScenario is the name of the one that is played where none is named.
const DefaultScenario = "third"

// Scenarios are the names of the scenarios that the binary has, sorted.
func Scenarios() []string {
	paths, err := fs.Glob(scenarioFiles, scenarioFolder+"*"+scenarioSuffix)
	if err != nil {
		panic(err) // the pattern is ours
	}
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(strings.TrimPrefix(p, scenarioFolder), scenarioSuffix)
	}
	return paths
}

// LoadScenario is one that the binary has; false: it has none of that name.
func LoadScenario(name string) (*Scenario, bool) {
	f, err := scenarioFiles.Open(scenarioFolder + name + scenarioSuffix)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	s, err := ParseScenario(name, f)
	if err != nil {
		panic(fmt.Sprintf("scenario %s: %v", name, err)) // a test reads them all
	}
	return s, true
}

package node

import (
	"errors"
	"strings"
	"testing"

	"re6st/actors/system"
)

func TestTheControlGroupIsANameOrANumber(t *testing.T) {
	for name, want := range map[string]int{"0": 0, "root": 0, "4711": 4711} {
		if got, err := controlGroup(name); got != want || err != nil {
			t.Errorf("%s is group %d, %v", name, got, err)
		}
	}
	if _, err := controlGroup(""); err != nil {
		t.Errorf("no group is an error: %v", err)
	}
	_, err := controlGroup("no-such-group")
	var fault *system.Fault
	if !errors.As(err, &fault) || fault.Kind != system.BadConfig || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "groupadd") {
		t.Errorf("a group that is not there: %v", err)
	}
}

func TestTheControlDirIsAnAbsolutePath(t *testing.T) {
	if _, err := ParseConfig([]byte(`control_dir = "run"`)); !errors.Is(err, ErrConfig) {
		t.Errorf("a relative one: %v", err)
	}
}

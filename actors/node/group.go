package node

import (
	"fmt"
	"os/user"
	"strconv"

	"re6st/actors/system"
)

// defaultControlGroup may look at nodes, where a machine has it.
const defaultControlGroup = "re6st"

// controlGroup is the number of the group that may use the read-only socket; -1: no
// special one.
func controlGroup(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil && n >= 0 {
		return n, nil
	}
	wanted := name
	if name == "" {
		wanted = defaultControlGroup
	}
	g, err := user.LookupGroup(wanted)
	if name == "" && err != nil { // there is none, or nobody keeps groups here
		return -1, nil
	}
	if err != nil {
		return -1, &system.Fault{Op: "control_group", Kind: system.BadConfig, Err: fmt.Errorf("%w: %w; groupadd --system %s makes it", ErrConfig, err, wanted)}
	}
	return strconv.Atoi(g.Gid)
}

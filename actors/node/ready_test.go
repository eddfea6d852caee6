package node

import (
	"os"
	"path/filepath"
	"testing"

	"re6st/hw/netns/netnstest"
)

func TestANodeThatIsReadyCanBeAsked(t *testing.T) {
	l := &lan{t: t, group: netnstest.NewGroup(t), issuer: newIssuer(t)}
	var err error
	l.n1, err = l.group.Create("n1")
	l.check(err)
	dir := l.folder(1, "")
	stop := l.runs(l.n1, dir)
	var answer []byte
	l.eventually("the node is ready", func() bool {
		answer, err = os.ReadFile(filepath.Join(dir, readyFile))
		return len(answer) > 0
	})
	if string(answer) != "<nil>" {
		t.Errorf("asked as soon as it was ready: %s", answer)
	}
	l.check(stop())
}

package node

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(nodeEnv); dir != "" {
		beNode(dir)
	}
	goleak.VerifyTestMain(m)
}

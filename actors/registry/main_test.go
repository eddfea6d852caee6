package registry_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childDir, when set, makes this test binary a registry process to be killed.
const childDir = "RE6ST_TEST_REGISTRY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		serveUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

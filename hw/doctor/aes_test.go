package doctor

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestAESIsTakenWhereGoDoesItByInstructions(t *testing.T) {
	for _, arch := range []string{"386", "arm", "riscv64"} {
		if hasAES(arch) {
			t.Errorf("%s has it", arch)
		}
	}
	want := map[string][]string{"amd64": {"aes", "pclmulqdq"}, "arm64": {"aes", "pmull"}}[runtime.GOARCH]
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	flags := strings.Fields(string(text))
	has := len(want) > 0
	for _, f := range want {
		has = has && slices.Contains(flags, f)
	}
	if HasAES() != has {
		t.Errorf("HasAES is %v, and the kernel says %v of %v", HasAES(), has, want)
	}
}

package doctor

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// Patient is what is examined beside the machine.
type Patient struct {
	Dir string // the node's folder
}

// Examine looks at everything, in a fixed order.
func Examine(p Patient) (all []Finding) {
	all = append(all, release(), processor(), privilege())
	all = append(all, kernel()...)
	all = append(all, sockets()...)
	all = append(all, settings(procSys)...)
	all = append(all, clock())
	all = append(all, underlay()...)
	return append(all, folder(p.Dir)...)
}

// release tells the kernel: minKernel has all that the packet path uses.
func release() Finding {
	f := Finding{Area: "kernel", Name: "release", For: "the node", Cure: "a kernel of 5.10 or newer, as Debian 11 has"}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return f.needed(err, "")
	}
	text := unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	if !atLeast(text, minKernel) {
		return f.wanted(fmt.Errorf("%s is older than %d.%d: not tested", text, minKernel[0], minKernel[1]), "")
	}
	return f.needed(nil, text)
}

// minKernel is the oldest kernel that is tested.
var minKernel = [2]int{5, 10}

func atLeast(release string, least [2]int) bool {
	var got [2]int
	if _, err := fmt.Sscanf(release, "%d.%d", &got[0], &got[1]); err != nil {
		return false
	}
	return got[0] > least[0] || got[0] == least[0] && got[1] >= least[1]
}

// HasAES tells whether sealing by AES-GCM is done by instructions of the processor.
func HasAES() bool { return hasAES(runtime.GOARCH) }

// hasAES is false where the processor may have instructions, but Go's AES uses none: of its
// builds for 32 bits.
func hasAES(arch string) bool {
	switch arch {
	case "amd64":
		return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ
	case "arm64":
		return cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
	}
	return false
}

func processor() Finding {
	f := Finding{Area: "kernel", Name: "processor", For: "sealing: AES-GCM is twice as fast as ChaCha20-Poly1305", Cure: "nothing to do: ChaCha20-Poly1305 is used"}
	text := fmt.Sprintf("%s, %d processors", runtime.GOARCH, runtime.NumCPU())
	if !HasAES() {
		return f.wanted(fmt.Errorf("%s, without AES instructions", text), "")
	}
	return f.wanted(nil, text+", with AES instructions")
}

// MayMark tells whether this process may put marks on what it sends.
func MayMark() bool { return privilege().Grade == OK }

func privilege() Finding {
	f := Finding{
		Area: "kernel", Name: "privilege", For: "the TUN, routes, rules and marks",
		Cure: "run as root, or with AmbientCapabilities=CAP_NET_ADMIN as in re6st-node.service",
	}
	caps := [2]unix.CapUserData{}
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &caps[0]); err != nil {
		return f.needed(err, "")
	}
	if caps[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return f.needed(fmt.Errorf("user %d has no CAP_NET_ADMIN; what follows may be unknown for that reason", os.Geteuid()), "")
	}
	return f.needed(nil, "CAP_NET_ADMIN")
}

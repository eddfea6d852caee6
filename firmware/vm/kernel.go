package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	metaPackage   = "linux-image-amd64" // depends on the kernel of this Debian release
	packagePrefix = "linux-image-"
	defaultLink   = "default" // in the cache: the kernel that runs without -kernel
)

// bootModules are what init needs before the root file system is there.
var bootModules = []string{"virtio_pci", "virtio_console", "virtio_rng", "9p", "9pnet_virtio", "overlay"}

// kernel is an unpacked kernel package.
type kernel struct {
	dir     string // of the package's files
	release string // as uname -r says it
}

func (k kernel) image() string   { return filepath.Join(k.dir, "boot", "vmlinuz-"+k.release) }
func (k kernel) modules() string { return filepath.Join(k.dir, "lib", "modules", k.release) }

// fetchKernel finds a kernel in the cache, or downloads it there. Without a package name it
// is what this release of Debian had when it was first asked for.
func fetchKernel(cache, name string, progress io.Writer) (kernel, error) {
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return kernel{}, err
	}
	defer lock.Close() // and with it the lock: go test runs several of us at a time
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return kernel{}, fmt.Errorf("lock %s: %w", cache, err)
	}
	if name == "" {
		name, err = os.Readlink(filepath.Join(cache, defaultLink))
		if errors.Is(err, os.ErrNotExist) {
			name, err = newestKernel()
			if err == nil {
				err = os.Symlink(name, filepath.Join(cache, defaultLink))
			}
		}
		if err != nil {
			return kernel{}, err
		}
	}
	release, ok := strings.CutPrefix(name, packagePrefix)
	if !ok || strings.Contains(name, "/") {
		return kernel{}, fmt.Errorf("%q is no kernel package: it begins with %s", name, packagePrefix)
	}
	k := kernel{filepath.Join(cache, name), release}
	if _, err := os.Stat(k.image()); err == nil {
		return k, nil
	}
	fmt.Fprintf(progress, "vm: downloading %s to %s\n", name, cache)
	return k, download(k, name)
}

// newestKernel asks the package lists, which it has fetched if there are none.
func newestKernel() (string, error) {
	ask := func() string {
		out, _ := exec.Command("apt-cache", "depends", metaPackage).Output() // no lists: no answer
		return kernelOf(string(out))
	}
	if name := ask(); name != "" {
		return name, nil
	}
	if err := quiet("apt-get", "update", "-qq"); err != nil {
		return "", err
	}
	if name := ask(); name != "" {
		return name, nil
	}
	return "", fmt.Errorf("apt knows no %s: this needs Debian on amd64 with its package lists", metaPackage)
}

// kernelOf is the kernel package in what apt-cache depends says.
func kernelOf(depends string) string {
	for line := range strings.Lines(depends) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, packagePrefix) {
			return name
		}
	}
	return ""
}

// download unpacks a kernel package beside its place and moves it there when it is whole.
func download(k kernel, name string) (err error) {
	tmp, err := os.MkdirTemp(filepath.Dir(k.dir), "new-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	get := func() error {
		cmd := exec.Command("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", name)
		cmd.Dir = tmp
		return run(cmd)
	}
	if err := get(); err != nil { // lists that are old name a package that is gone
		if again := quiet("apt-get", "update", "-qq"); again != nil {
			return errors.Join(err, again)
		}
		if err := get(); err != nil {
			return err
		}
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages", name, len(debs))
	}
	fresh := kernel{filepath.Join(tmp, "root"), k.release}
	if err := quiet("dpkg", "-x", debs[0], fresh.dir); err != nil {
		return err
	}
	if _, err := os.Stat(fresh.image()); err != nil {
		return fmt.Errorf("%s holds no kernel: %w", name, err)
	}
	if err := quiet(tool("depmod"), "-b", fresh.dir, k.release); err != nil {
		return err
	}
	return os.Rename(fresh.dir, k.dir)
}

// modulePaths are the files of modules below the kernel's folder of modules, each after
// those that it needs. dep is modules.dep, builtin modules.builtin (depmod(8)).
func modulePaths(dep, builtin string, names []string) ([]string, error) {
	needs := map[string][]string{} // by name: the files, itself first
	for line := range strings.Lines(dep) {
		file, rest, ok := strings.Cut(line, ":")
		if ok {
			needs[moduleName(file)] = append([]string{file}, strings.Fields(rest)...)
		}
	}
	inside := map[string]bool{}
	for _, file := range strings.Fields(builtin) {
		inside[moduleName(file)] = true
	}
	var paths []string
	done := map[string]bool{}
	for _, name := range names {
		files := needs[name]
		if files == nil && !inside[name] {
			return nil, fmt.Errorf("this kernel has no module %s", name)
		}
		for i := len(files) - 1; i >= 0; i-- {
			if !done[files[i]] {
				done[files[i]] = true
				paths = append(paths, files[i])
			}
		}
	}
	return paths, nil
}

// moduleName is a module's name, in which a dash counts as an underscore.
func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// readModule returns a module as the kernel takes it.
func readModule(path string) ([]byte, error) {
	if filepath.Ext(path) == ".xz" {
		out, err := exec.Command("xz", "-dc", path).Output()
		if err != nil {
			return nil, fmt.Errorf("xz -dc %s: %w", path, err)
		}
		return out, nil
	}
	return os.ReadFile(path)
}

// quiet runs a program whose output matters only where it fails.
func quiet(name string, args ...string) error { return run(exec.Command(name, args...)) }

func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// tool finds a program also where a user's PATH does not lead.
func tool(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return filepath.Join("/usr/sbin", name)
}

package bugreport

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"re6st/actors/monitor"
)

// maxPart bounds one file of a report, in bytes; what is longer is cut at its end.
const maxPart = 8 << 20

// Subject is the node that a report is about.
type Subject struct {
	Dir       string // its folder
	Config    string // its configuration file
	Client    *monitor.Client
	Now       time.Time
	Diagnosis any // what re6st doctor found, to be written as JSON
}

// Content is one file of a report.
type Content struct {
	Name string `json:"name"`
	Size int    `json:"size"` // bytes
	What string `json:"what"`
}

// part is a file to be gathered.
type part struct {
	name, what string
	gather     func(context.Context) ([]byte, error)
}

// Write writes a report to w and tells what is in it. An error is about w: what could
// not be gathered is in the report, as the reason.
func Write(ctx context.Context, w io.Writer, s Subject) ([]Content, error) {
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	folder := "re6st-bugreport-" + s.Now.Format("20060102-150405") + "/"
	var contents []Content
	for _, p := range s.parts() {
		b, err := p.gather(ctx)
		if err != nil {
			b = append(b, "not gathered: "+err.Error()+"\n"...)
			p.what += " (not gathered: " + err.Error() + ")"
		}
		b = scrub(b)
		if len(b) > maxPart {
			b = append(b[:maxPart:maxPart], "\n... cut here\n"...)
		}
		header := &tar.Header{Name: folder + p.name, Mode: 0o600, Size: int64(len(b)), ModTime: s.Now}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(b); err != nil {
			return nil, err
		}
		contents = append(contents, Content{p.name, len(b), p.what})
	}
	return contents, errors.Join(archive.Close(), zip.Close())
}

func (s Subject) parts() []part {
	all := []part{
		{"doctor.json", "what re6st doctor finds on this machine", func(context.Context) ([]byte, error) { return indented(s.Diagnosis) }},
		{"events.json", "the node's last events", s.events},
	}
	for _, call := range []struct{ name, what string }{
		{"version", "what the node was built from"},
		{"status", "the node at a glance"},
		{"peers", "the nodes that it knows"},
		{"tunnels", "its links"},
		{"routes", "its routes"},
		{"claims", "what nodes have signed about theirs"},
		{"actors", "its parts, with their last faults"},
	} {
		all = append(all, part{call.name + ".json", call.what, func(ctx context.Context) ([]byte, error) { return s.ask(ctx, call.name) }})
	}
	all = append(
		all,
		part{"folder.txt", "names, sizes and modes of the files in the node's folder", s.listing},
		part{"node.toml", "its configuration", func(context.Context) ([]byte, error) { return os.ReadFile(s.Config) }},
	)
	for _, f := range systemFiles {
		all = append(all, part{f.name, f.what, func(context.Context) ([]byte, error) { return os.ReadFile(f.path) }})
	}
	return all
}

// systemFiles are what the machine itself tells.
var systemFiles = []struct{ name, path, what string }{
	{"os-release.txt", "/etc/os-release", "the distribution"},
	{"kernel.txt", "/proc/version", "the kernel"},
	{"routes6.txt", "/proc/net/ipv6_route", "the kernel's IPv6 routes"},
	{"addresses6.txt", "/proc/net/if_inet6", "the IPv6 addresses of interfaces"},
	{"routes4.txt", "/proc/net/route", "the kernel's IPv4 routes"},
	{"interfaces.txt", "/proc/net/dev", "packets and errors of interfaces"},
	{"udp6.txt", "/proc/net/snmp6", "IPv6 and UDP counters"},
	{"meminfo.txt", "/proc/meminfo", "memory"},
	{"load.txt", "/proc/loadavg", "load"},
}

func indented(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

// ask is the answer to one call, as it came.
func (s Subject) ask(ctx context.Context, call string) ([]byte, error) {
	var answer json.RawMessage
	if err := s.Client.Get(ctx, call, &answer); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err := json.Indent(&b, answer, "", "  ")
	return append(b.Bytes(), '\n'), err
}

func (s Subject) events(ctx context.Context) ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	err := monitor.Lines(ctx, s.Client, "GET", "events", nil, func(e monitor.Event) error { return out.Encode(e) })
	return b.Bytes(), err
}

// listing is what ls -l shows of the folder.
func (s Subject) listing(context.Context) ([]byte, error) {
	var b bytes.Buffer
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintf(&b, "%v %9d %s %s\n", info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339), path)
		}
		return err
	})
	return b.Bytes(), err
}

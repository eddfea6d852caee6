package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The house rules of CONTRIBUTING.md, checked on the source.

const (
	module       = "re6st/"
	maxFileLines = 600
)

// floors from the ground up; an import goes to a lower floor or stays.
var floors = map[string]int{"protocols": 0, "tsn": 1, "firmware": 1, "hw": 2, "actors": 3, "cmd": 4}

// hwMayUse is all that the packet path and the kernel's tables need from below.
var hwMayUse = []string{"protocols/fabric", "protocols/addr", "protocols/rib", "protocols/inbound", "protocols/limit", "protocols/checksum", "protocols/ktunnel", "tsn/class"}

// impureImports would give a protocol machine a clock, a socket or a voice.
var impureImports = []string{"os", "os/exec", "log", "log/slog", "net", "net/http", "syscall", "golang.org/x/sys/unix", "sync"}

// impureTime are the functions of package time that look at or wait for a clock.
var impureTime = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Sleep", "Tick"}

type source struct {
	dir, name string // relative to the module
	file      *ast.File
	lines     int
}

func (s source) path() string  { return path.Join(s.dir, s.name) }
func (s source) floor() string { return strings.SplitN(s.dir, "/", 2)[0] }
func (s source) imports() (all []string) {
	for _, i := range s.file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		all = append(all, p)
	}
	return all
}

// house parses every Go file that is not a test.
func house(t *testing.T) (files []source) {
	t.Helper()
	root := filepath.Join("..", "..")
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if d.IsDir() && rel != "." && (d.Name()[0] == '.' || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err == nil {
			rel = filepath.ToSlash(rel)
			files = append(files, source{path.Dir(rel), path.Base(rel), f, fset.File(f.Pos()).LineCount()})
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

func TestTheRootHoldsSixFolders(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "bin"}
	for _, e := range entries {
		_, folder := floors[e.Name()]
		if !folder && !slices.Contains(files, e.Name()) && e.Name()[0] != '.' {
			t.Errorf("%s stands beside the six folders", e.Name())
		}
	}
}

func TestImportsGoDownwards(t *testing.T) {
	for _, s := range house(t) {
		for _, imp := range s.imports() {
			if !strings.HasPrefix(imp, module) {
				continue
			}
			if why := refused(s.dir, strings.TrimPrefix(imp, module)); why != "" {
				t.Errorf("%s imports %s: %s", s.path(), imp, why)
			}
		}
	}
}

// refused tells why a package in dir may not import the module's package imp.
func refused(dir, imp string) string {
	from, to := strings.SplitN(dir, "/", 2)[0], strings.SplitN(imp, "/", 2)[0]
	switch {
	case floors[to] > floors[from]:
		return "imports go downwards: cmd, actors, hw, tsn, protocols"
	case from == "tsn" && to == "firmware", from == "firmware" && imp != "protocols/cert" && to != "firmware":
		return "firmware stands beside the others and uses protocols/cert alone"
	case from == "hw" && to != "hw" && !slices.Contains(hwMayUse, imp):
		return "hw takes from below only " + strings.Join(hwMayUse, ", ")
	case from == "actors" && to == "actors" && room(dir) != "actors/node" && room(imp) != "actors/system" && room(dir) != room(imp):
		return "no actor package imports another; node alone imports them all"
	}
	return ""
}

// room is the package and those below it, such as its test's helpers.
func room(dir string) string { return strings.Join(strings.SplitN(dir, "/", 3)[:2], "/") }

func TestTheImportRuleRefuses(t *testing.T) {
	for _, c := range []struct{ dir, imp string }{
		{"protocols/babel", "hw/clock"},
		{"tsn/class", "actors/system"},
		{"hw/dataplane", "protocols/babel"},
		{"actors/tunnel", "actors/session"},
		{"firmware/image", "protocols/addr"},
		{"actors/node", "cmd/lab"},
	} {
		if refused(c.dir, c.imp) == "" {
			t.Errorf("%s may import %s", c.dir, c.imp)
		}
	}
	for _, c := range []struct{ dir, imp string }{
		{"cmd/re6st", "actors/node"},
		{"actors/node", "actors/tunnel"},
		{"hw/dataplane", "protocols/rib"},
		{"actors/tunnel", "actors/system"},
		{"protocols/fabric", "protocols/cert"},
		{"firmware/image", "protocols/cert"},
	} {
		if why := refused(c.dir, c.imp); why != "" {
			t.Errorf("%s may not import %s: %s", c.dir, c.imp, why)
		}
	}
}

func TestOnlyTheSkinKnowsProtoactor(t *testing.T) {
	for _, s := range house(t) {
		for _, imp := range s.imports() {
			if strings.HasPrefix(imp, "github.com/asynkron/") && s.dir != "actors/system" {
				t.Errorf("%s imports %s", s.path(), imp)
			}
		}
	}
}

func TestProtocolsAndTSNArePure(t *testing.T) {
	for _, s := range house(t) {
		if s.floor() != "protocols" && s.floor() != "tsn" {
			continue
		}
		for _, imp := range s.imports() {
			if slices.Contains(impureImports, imp) && !mayLock(s.dir, imp) {
				t.Errorf("%s imports %s", s.path(), imp)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", s.path())
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && x.Obj == nil && slices.Contains(impureTime, n.Sel.Name) {
					t.Errorf("%s calls time.%s", s.path(), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// mayLock: the sessions of the fabric are called by the packet path, from many
// goroutines at once.
func mayLock(dir, imp string) bool { return dir == "protocols/fabric" && imp == "sync" }

func TestEveryPackageIsExplained(t *testing.T) {
	explained := map[string]bool{}
	for _, s := range house(t) {
		doc, base := s.file.Doc.Text(), path.Base(s.dir)
		explained[s.dir] = explained[s.dir] || s.name == "doc.go" &&
			(strings.HasPrefix(doc, "Package "+base+" ") || strings.HasPrefix(doc, "Command "+base+" "))
		if doc != "" && s.name != "doc.go" {
			t.Errorf("%s: the package comment stands in doc.go", s.path())
		}
	}
	for dir, ok := range explained {
		if !ok {
			t.Errorf("%s has no doc.go whose comment begins with %q", dir, "Package "+path.Base(dir)+" ")
		}
	}
}

func TestFilesFitAMorning(t *testing.T) {
	for _, s := range house(t) {
		if s.lines > maxFileLines {
			t.Errorf("%s has %d lines, at most %d", s.path(), s.lines, maxFileLines)
		}
	}
}

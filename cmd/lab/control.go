package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"re6st/hw/netns"
)

// controlSocket is the name of a lab's control socket, in its folder. One request,
// one answer, each a line of JSON.
const controlSocket = "control"

// maxRequest bounds a request in bytes.
const maxRequest = 4096

// request is an action's words, or list, or down.
type request struct {
	Words []string `json:"words"`
}

type answer struct {
	Output string `json:"output"`
	Error  string `json:"error,omitempty"`
}

// Words of requests that are no Action.
const (
	wordList = "list"
	wordDown = "down"
)

// control serves the control socket of a lab.
type control struct {
	lab      *Lab
	listener net.Listener
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // nil: closed
}

func openControl(l *Lab) (*control, error) {
	listener, err := net.Listen("unix", filepath.Join(l.Dir(), controlSocket))
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	c := &control{lab: l, listener: listener, conns: map[net.Conn]bool{}}
	c.serving.Go(c.accept)
	return c, nil
}

// close ends the serving: idle clients are cut off, busy ones get their answer.
func (c *control) close() {
	c.listener.Close()
	c.mu.Lock()
	for conn, idle := range c.conns {
		if idle {
			conn.Close()
		}
	}
	c.conns = nil
	c.mu.Unlock()
	c.serving.Wait()
}

func (c *control) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		if c.mark(conn, true) {
			c.serving.Go(func() { c.serve(conn) })
		} else {
			conn.Close()
		}
	}
}

// mark notes whether a connection is idle; false says that the control is closed.
func (c *control) mark(conn net.Conn, idle bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns == nil {
		return false
	}
	c.conns[conn] = idle
	return true
}

func (c *control) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		c.mu.Lock()
		delete(c.conns, conn)
		c.mu.Unlock()
	}()
	var r request
	if err := json.NewDecoder(io.LimitReader(conn, maxRequest)).Decode(&r); err != nil || !c.mark(conn, false) {
		return
	}
	var a answer
	output, err := c.do(r.Words)
	a.Output = output
	if err != nil {
		a.Error = err.Error()
	}
	_ = json.NewEncoder(conn).Encode(a) // who went away needs no answer
}

func (c *control) do(words []string) (string, error) {
	switch strings.Join(words, " ") {
	case wordList:
		return c.lab.table(c.lab.ctx), nil
	case wordDown:
		c.lab.cancel(errDown)
		<-c.lab.closed
		return "", nil
	}
	a, err := parseAction(words)
	if err != nil {
		return "", err
	}
	real, err := c.lab.Resolve(c.lab.ctx, a)
	if err != nil {
		return "", err
	}
	if err := c.lab.Do(c.lab.ctx, real); err != nil || real == a {
		return "", err
	}
	return real.String() + "\n", nil
}

// ask sends words to the lab whose folder is dir, and returns what it prints.
func ask(ctx context.Context, dir string, words []string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(dir, controlSocket))
	if err != nil {
		return "", fmt.Errorf("%w: %s does not answer: %w", ErrNoLab, dir, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(request{words}); err != nil {
		return "", fmt.Errorf("lab: ask %s: %w", dir, err)
	}
	var a answer
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return "", fmt.Errorf("lab: %s gave no answer: %w", dir, err)
	}
	if a.Error != "" {
		return a.Output, errors.New(a.Error)
	}
	return a.Output, nil
}

// find returns the folder of the lab that is meant: the one named, else the one that
// we run in, else the only one.
func find(folder, id string) (string, error) {
	if id != "" {
		dir := filepath.Join(folder, id)
		if _, alive, err := netns.Owner(dir); err != nil || !alive {
			return "", fmt.Errorf("%w: %s; `re6st lab list` shows those that do", ErrNoLab, id)
		}
		return dir, nil
	}
	if dir := os.Getenv(EnvLab); dir != "" {
		return dir, nil
	}
	running, err := runningLabs(folder)
	switch {
	case err != nil:
		return "", err
	case len(running) == 0:
		return "", fmt.Errorf("%w; start one with `re6st lab up`", ErrNoLab)
	case len(running) > 1:
		return "", fmt.Errorf("%w; say --lab with one of %s", ErrManyLabs, strings.Join(running, " "))
	}
	return filepath.Join(folder, running[0]), nil
}

// runningLabs returns the ids of the labs whose owner lives.
func runningLabs(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("lab: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if _, alive, err := netns.Owner(filepath.Join(folder, e.Name())); err == nil && alive {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

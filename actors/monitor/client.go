package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
)

// Client asks a node over one of its sockets.
type Client struct {
	http *http.Client
	path string
}

// maxAnswer bounds what a Client reads of one object.
const maxAnswer = 256 << 20

// NewClient is a client of the socket at path. Nothing is dialled yet.
func NewClient(path string) *Client {
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
}

// SocketIn is the path of the socket to use for the node of a folder: the read-write
// one, or the other where only that one may be used. It lies where ControlDir says, in
// the folder itself, or where SpareDir says.
func SocketIn(dir string) string {
	for _, at := range []string{ControlDir(dir), dir, SpareDir(dir)} {
		path, ro := filepath.Join(at, SocketName), filepath.Join(at, ReadOnlySocketName)
		conn, err := net.Dial("unix", path)
		switch {
		case err == nil:
			conn.Close()
			return path
		case errors.Is(err, fs.ErrPermission) && exists(ro):
			return ro
		}
	}
	return filepath.Join(ControlDir(dir), SocketName)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Get fills into from one of the GET calls that answer one object. The errors are
// ErrNotRunning, ErrCut, ErrDenied, ErrRequest or others.
func (c *Client) Get(ctx context.Context, call string, into any) error {
	return c.one(ctx, http.MethodGet, call, nil, into)
}

// Post is Get for a POST call with a JSON body.
func (c *Client) Post(ctx context.Context, call string, request, into any) error {
	return c.one(ctx, http.MethodPost, call, request, into)
}

func (c *Client) one(ctx context.Context, method, call string, request, into any) error {
	body, err := c.do(ctx, method, call, request)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("answer to %s: %w", call, cutShort(err))
	}
	return nil
}

// cutShort is an error of a connection, and ErrCut where the other end went away.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	return err
}

// Lines asks for JSON lines, with a body where request is not nil, and hands each
// to each until it returns an error, the lines end or ctx does.
func Lines[T any](ctx context.Context, c *Client, method, call string, request any, each func(T) error) error {
	body, err := c.do(ctx, method, call, request)
	if err != nil {
		return err
	}
	defer body.Close()
	for d := json.NewDecoder(body); ; {
		var line T
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("answer to %s: %w", call, err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

func (c *Client) do(ctx context.Context, method, call string, request any) (io.ReadCloser, error) {
	var body io.Reader
	if request != nil {
		b, err := json.Marshal(request)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://re6st/v1/"+call, body)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: nothing answers at %s", ErrNotRunning, c.path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %s", ErrDenied, c.path)
	case err != nil:
		return nil, cutShort(err)
	case answer.StatusCode == http.StatusOK:
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var refusal Error
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxBody)).Decode(&refusal); err != nil {
		refusal.Error = answer.Status
	}
	switch answer.StatusCode {
	case http.StatusForbidden:
		return nil, fmt.Errorf("%w: %s", ErrDenied, refusal.Error)
	case http.StatusBadRequest, http.StatusNotFound:
		return nil, fmt.Errorf("%w: %s", ErrRequest, refusal.Error)
	}
	return nil, errors.New(refusal.Error)
}

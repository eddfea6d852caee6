package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of a server.
const (
	MaxConnections = 32
	maxHeader      = 16 << 10
	headerTimeout  = 5 * time.Second
	idleTimeout    = time.Minute
	// lastAnswers is how long calls at hand may take when the server ends: who had
	// it fail is to be told so.
	lastAnswers = time.Second
)

// Serve answers on l until ctx ends, which is no error, and returns when every
// answer has ended too. The caller closes l when ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	var conns sync.WaitGroup
	srv := &http.Server{
		Handler: h,
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew: // on this goroutine, so before Wait
				conns.Add(1)
			case http.StateClosed:
				conns.Done()
			default: // between the two
			}
		},
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	err := srv.Serve(netutil.LimitListener(l, MaxConnections)) // until l is closed
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	closed := srv.Shutdown(limit)
	if errors.Is(closed, context.DeadlineExceeded) {
		closed = srv.Close()
	}
	conns.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(err, closed)
}

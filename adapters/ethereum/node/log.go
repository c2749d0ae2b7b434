package node

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	gethlog "github.com/ethereum/go-ethereum/log"
)

// logger hides geth's own type from gethlog.SetDefault, which would make it the process's default for slog as well.
type logger struct{ gethlog.Logger }

// sink is where geth's log goes, nil for nowhere.
var sink atomic.Pointer[slog.Logger]

var gethLog = sync.OnceValue(func() gethlog.Logger { return logger{gethlog.NewLogger(forward{})} })

// captureLog has geth log to l.
func captureLog(l *slog.Logger) {
	sink.Store(l)
	gethlog.SetDefault(gethLog())
}

// releaseLog ends captureLog, unless another node has taken the log meanwhile.
func releaseLog(l *slog.Logger) { sink.CompareAndSwap(l, nil) }

// forward hands records to the sink of the moment. What geth has to say about a chain for development is rarely news: its information
// and its warnings, which speak to operators of public nodes, are for debugging here.
type forward struct{ attrs []slog.Attr }

func level(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return slog.LevelError
	}
	return slog.LevelDebug
}

func (f forward) Enabled(ctx context.Context, l slog.Level) bool {
	to := sink.Load()
	return to != nil && l >= slog.LevelInfo && to.Enabled(ctx, level(l))
}

func (f forward) Handle(ctx context.Context, r slog.Record) error {
	to := sink.Load()
	if to == nil {
		return nil
	}
	out := slog.NewRecord(r.Time, level(r.Level), "geth: "+r.Message, r.PC)
	out.AddAttrs(f.attrs...)
	r.Attrs(func(a slog.Attr) bool { out.AddAttrs(a); return true })
	return to.Handler().Handle(ctx, out)
}

func (f forward) WithAttrs(attrs []slog.Attr) slog.Handler {
	return forward{append(f.attrs[:len(f.attrs):len(f.attrs)], attrs...)}
}

func (f forward) WithGroup(string) slog.Handler { return f }

package consensus

import (
	"context"
	"log/slog"
	"strings"

	"github.com/cometbft/cometbft/libs/log"
)

// levelTrace is below slog.LevelDebug: CometBFT logs every vote and every state change.
const levelTrace = slog.LevelDebug - 4

// cometLogger sends CometBFT's log to slog one level lower than CometBFT thinks: what it calls information is for its
// developers, and its errors include every peer that cannot be reached. It also watches for the message that
// consensus has stopped.
type cometLogger struct {
	log     *slog.Logger
	failure func(cause any)
}

var _ log.Logger = cometLogger{}

// failureMessage is what CometBFT logs when its consensus routine panics; afterwards the process lives on without consensus.
const failureMessage = "CONSENSUS FAILURE"

func (l cometLogger) Debug(msg string, kv ...any) {
	l.log.Log(context.Background(), levelTrace, msg, kv...)
}
func (l cometLogger) Info(msg string, kv ...any) { l.log.Debug(msg, kv...) }
func (l cometLogger) Warn(msg string, kv ...any) { l.log.Info(msg, kv...) }

func (l cometLogger) Error(msg string, kv ...any) {
	if !strings.HasPrefix(msg, failureMessage) {
		l.log.Warn("consensus reports", append([]any{"text", msg}, kv...)...)
		return
	}
	l.log.Error("consensus has stopped", kv...)
	var cause any = msg
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i] == "err" {
			cause = kv[i+1]
		}
	}
	l.failure(cause)
}

func (l cometLogger) With(kv ...any) log.Logger { return cometLogger{l.log.With(kv...), l.failure} }

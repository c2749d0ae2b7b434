// Package pause waits without being deaf to a context.
package pause

import (
	"context"
	"time"
)

// For waits for a time, which need not be positive, and returns the context's error, if it has one by then.
func For(ctx context.Context, d time.Duration) error {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

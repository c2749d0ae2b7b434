package pause

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, c := range []struct {
			d, took time.Duration
			err     error
		}{{-time.Second, 0, nil}, {0, 0, nil}, {40 * time.Second, 40 * time.Second, nil}, {40 * time.Second, 20 * time.Second, context.DeadlineExceeded},
			{time.Second, 0, context.DeadlineExceeded}, {0, 0, context.DeadlineExceeded}} {
			start := time.Now()
			if err := For(ctx, c.d); !errors.Is(err, c.err) || time.Since(start) != c.took {
				t.Errorf("%v: %v after %v, want %v after %v", c.d, err, time.Since(start), c.err, c.took)
			}
		}
	})
}

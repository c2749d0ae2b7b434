package replica

import (
	"context"
	"time"

	"fusion/replica/state"
)

const (
	// scrubEvery is how often the whole state is read and compared with its accumulator: rot in pages that nobody reads is found while others have them.
	scrubEvery = 24 * time.Hour
	// scrubPace is how many bytes of it are read in a second, beside the work.
	scrubPace = 32 << 20
)

// scrub checks a state that was too large to be checked when it was opened, and every state once a day. What it finds the database reports.
func scrub(ctx context.Context, db *state.DB, every time.Duration) {
	wait := every
	if !db.Small() {
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		err := db.Check(func(bytes int) error {
			timer.Reset(time.Duration(bytes) * time.Second / scrubPace)
			select {
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			return
		}
		timer.Reset(every)
	}
}

package chainkey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretsDoNotPrint(t *testing.T) {
	type holder struct {
		Name string
		Key  Secret
	}
	h := holder{"k", Secret("swordfish")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "holder", h, "key", h.Key)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "holder", h, "key", h.Key)
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{log.String(), string(encoded), fmt.Sprintf("%v %+v %#v %s %x %q %d %X", h, h, h, h.Key, h.Key, h.Key, h.Key, h)} {
		for _, leak := range []string{"swordfish", fmt.Sprintf("%x", "swordfish"), fmt.Sprintf("%X", "swordfish"), "115 119", "c3dvcmRmaXNo"} {
			if strings.Contains(shown, leak) {
				t.Errorf("%q shows the secret", shown)
			}
		}
		if !strings.Contains(shown, "secret") {
			t.Errorf("%q shows no placeholder", shown)
		}
	}
	if h.Key.Wipe(); !bytes.Equal(h.Key, make([]byte, 9)) {
		t.Error("wiping left bytes")
	}
}

func TestThreshold(t *testing.T) {
	for n, want := range map[int]int{1: 0, 4: 2, 5: 2, 6: 2, 7: 4, 10: 6, 12: 6, 13: 8, 34: 22, 40: 26} {
		if got, err := Threshold(n); err != nil || got != want {
			t.Errorf("%d members: %d, %v", n, got, err)
		}
	}
	for _, n := range []int{-1, 0, 2, 3} {
		if _, err := Threshold(n); !errors.Is(err, ErrMembers) {
			t.Errorf("%d members were accepted", n)
		}
	}
}

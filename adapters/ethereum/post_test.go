package ethereum

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
)

func post(t testing.TB, h http.Handler, body []byte) (int, []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

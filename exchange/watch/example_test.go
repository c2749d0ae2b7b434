package watch_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"fusion/exchange/watch"
	"fusion/ic/agent"
	"fusion/ic/principal"
)

// A watcher that posts the deposits to all accounts of an exchange.
func Example() {
	a, err := agent.New("http://127.0.0.1:4943", agent.Options{FetchRootKey: true})
	if err != nil {
		log.Fatal(err)
	}
	secrets, err := watch.ReadSecrets("webhook.secret")
	if err != nil {
		log.Fatal(err)
	}
	w, err := watch.New(watch.Config{
		Agent: a, Dir: "watch", Ledgers: []principal.Principal{principal.MustParse("mxzaz-hqaaa-aaaar-qaada-cai")},
		Accounts: watch.Accounts{Owner: principal.MustParse("rdmx6-jaaaa-aaaaa-aaadq-cai")},
		Webhook:  &watch.Webhook{URL: "https://exchange.example/deposits", Secrets: secrets},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	log.Fatal(w.Run(context.Background()))
}

// A receiver checks the signature, books the event unless it has booked its ID before, and answers 2xx once that is on disk.
func ExampleVerify() {
	s, err := watch.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLasB")
	if err != nil {
		log.Fatal(err)
	}
	book := func(event []byte) error { return nil }
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil || watch.Verify([]watch.Secret{s}, r.Header, body, time.Now()) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if err := book(body); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	fmt.Println(handler != nil, s)
	// Output: true [secret]
}

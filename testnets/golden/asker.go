package golden

// Question and Outcome are those of the canister testdata/asker, which makes HTTPS outcalls.
type Question struct {
	URL              string  `candid:"url"`
	Put              bool    `candid:"put"`
	Transform        *string `candid:"transform"`
	MaxResponseBytes *uint64 `candid:"max_response_bytes"`
}

// Outcome is a response, or a rejection with its code.
type Outcome struct {
	Code     uint32 `candid:"code"`
	Message  string `candid:"message"`
	Status   uint64 `candid:"status"`
	Headers  uint32 `candid:"headers"`
	Body     []byte `candid:"body"`
	Refunded uint64 `candid:"refunded"`
}

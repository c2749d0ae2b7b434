// Package certifiedpage is a canister that serves a web page: the sample of package cdk/certified.
//
//	fusion build ./examples/go/certified-page/cmd -o page.wasm.gz
//	fusion canister install page.wasm.gz
//
// Then open http://<canister id>.localhost:4943/. The page shows one message, which everybody may change: by the form on the page, which the gateway
// turns into an update call, or by
//
//	fusion canister call ID set_message '("hello")'
//
// Every response is certified: what the reader sees is what the subnet agreed on, whichever replica answered. The message is in stable memory and so
// survives upgrades; pages and certification are made anew.
package certifiedpage

import (
	"embed"
	"encoding/json"
	"unicode/utf8"

	"fusion/cdk"
	"fusion/cdk/certified"
	"fusion/cdk/stable"
	"fusion/ic/httpcert"
)

//go:embed assets
var assets embed.FS

// maxMessage bounds a message in bytes.
const maxMessage = 1000

// pages are the static files.
var pages = []struct{ path, file, mime string }{
	{"/", "index.html", "text/html; charset=utf-8"},
	{"/index.html", "index.html", "text/html; charset=utf-8"},
	{"/app.js", "app.js", "text/javascript; charset=utf-8"},
	{"/style.css", "style.css", "text/css; charset=utf-8"},
	{"/icon.svg", "icon.svg", "image/svg+xml"},
}

// headers come with each page. They are certified as the body is, so a policy cannot be taken away on the way.
var headers = []httpcert.HeaderField{
	{Name: "Content-Security-Policy", Value: "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"},
	{Name: "Cache-Control", Value: "no-cache"},
}

// Canister serves the page.
func Canister(c *cdk.Canister) {
	s := &server{c: c, site: certified.NewSite(c)}
	c.OnInit(func() { s.start("hello, web") })
	c.OnPostUpgrade(func() { s.start("") })
	cdk.Query(c, "message", func(*cdk.Msg, cdk.None) string { return s.message() })
	cdk.Update(c, "set_message", func(_ *cdk.Msg, text string) cdk.None {
		if problem := s.set(text); problem != "" {
			c.Trap("%s", problem)
		}
		return cdk.None{}
	})
	s.site.OnUpdate("/message", func(_ *cdk.Msg, r *httpcert.UpdateRequest) certified.Answer {
		if problem := s.set(string(r.Body)); problem != "" {
			return certified.Answer{Status: 400, Headers: plain, Body: []byte(problem)}
		}
		return certified.Answer{Status: 204}
	})
}

var plain = []httpcert.HeaderField{{Name: "Content-Type", Value: "text/plain; charset=utf-8"}}

type server struct {
	c    *cdk.Canister
	site *certified.Site
	cell *stable.Cell
}

// start opens the state and makes the pages.
func (s *server) start(first string) {
	var err error
	if s.cell, err = stable.OpenCell(s.c.Stable()); err != nil {
		s.c.Trap("%v", err)
	}
	for _, p := range pages {
		body, err := assets.ReadFile("assets/" + p.file)
		if err != nil {
			s.c.Trap("%v", err)
		}
		s.site.Page(p.path, certified.Page{Type: p.mime, Headers: headers, Body: body})
	}
	s.site.Below("", certified.Page{Status: 404, Type: "text/plain; charset=utf-8", Headers: headers, Body: []byte("there is no such page\n")})
	if first != "" {
		s.set(first)
	} else {
		s.publish()
	}
}

func (s *server) message() string { return string(s.cell.Get(nil)) }

// set changes the message, or says why not.
func (s *server) set(text string) (problem string) {
	if text == "" || len(text) > maxMessage || !utf8.ValidString(text) {
		return "a message is text of 1 to 1000 bytes"
	}
	if err := s.cell.Set([]byte(text)); err != nil {
		s.c.Trap("%v", err)
	}
	s.publish()
	return ""
}

// publish certifies the page that changes.
func (s *server) publish() {
	body, err := json.Marshal(map[string]string{"message": s.message()})
	if err != nil {
		s.c.Trap("%v", err)
	}
	s.site.Page("/message.json", certified.Page{Type: "application/json", Headers: headers, Body: body})
	s.site.Commit()
}

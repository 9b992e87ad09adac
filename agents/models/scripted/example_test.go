package scripted_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/perdure/perdure/agents/models/scripted"
)

// A server plays a script until its context ends. Another process may ask it
// what it was asked.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- scripted.Serve(ctx, "127.0.0.1:0", scripted.Script{Rules: []scripted.Rule{
			{Message: `weather in (\w+)`, Reply: scripted.Reply{Text: "It rains in $1."}},
		}}, func(url string) { ready <- url })
	}()
	url := <-ready

	body := `{"model": "any", "messages": [{"role": "user", "content": "How is the weather in Oslo?"}]}`
	for range 2 { // the same call twice
		req, err := http.NewRequest(http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Idempotency-Key", "call-1")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		data, err := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(strings.Contains(string(data), "It rains in Oslo."), err)
	}
	res, err := http.Get(url + "/calls")
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := io.ReadAll(res.Body)
	res.Body.Close()
	fmt.Println(string(data), err)

	cancel()
	fmt.Println(<-ended)
	// Output:
	// true <nil>
	// true <nil>
	// {"calls":1,"repeated":1,"keys":{"call-1":2},"in_flight":0} <nil>
	// <nil>
}

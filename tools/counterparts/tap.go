package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"time"

	"github.com/perdure/perdure/agents/mcp"
)

// A request is what is read of a message of the protocol on its way to a server.
type request struct {
	Method string `json:"method"`
	Params struct {
		Name string                     `json:"name"`
		Meta map[string]json.RawMessage `json:"_meta"`
	} `json:"params"`
}

// calls reports whether a message calls a tool: which one, with which idempotency key.
func calls(message []byte) (tool, key string, ok bool) {
	var r request
	if json.Unmarshal(message, &r) != nil || r.Method != "tools/call" {
		return "", "", false
	}
	_ = json.Unmarshal(r.Params.Meta[mcp.IdempotencyMeta], &key)
	return r.Params.Name, key, true
}

// tapGrace is how long a server has to end after its input has.
const tapGrace = 3 * time.Second

// tap stands between a node and a server that is a program: it tells the ledger of each
// call before the server has it. It ends with its input, as the server does.
func tap(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("tap takes the URL of a ledger and a program with its arguments")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	passed := make(chan error, 1)
	go func() { passed <- pass(ctx, args[0], in) }() // ends with its input, or with this process
	select {
	case err := <-ended:
		return err
	case err = <-passed:
	case <-ctx.Done():
	}
	_ = in.Close()
	select {
	case <-ended:
	case <-time.After(tapGrace):
		_ = cmd.Process.Kill()
		<-ended
	}
	return err
}

func pass(ctx context.Context, ledger string, to io.Writer) error {
	for in := bufio.NewReader(os.Stdin); ; {
		line, err := in.ReadBytes('\n')
		if tool, key, ok := calls(line); ok {
			if err := note(ctx, ledger, tool, key); err != nil {
				return err
			}
		}
		if len(line) > 0 {
			if _, err := to.Write(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// note tells the ledger of a call, and returns when that lets it go on.
func note(ctx context.Context, ledger, tool, key string) error {
	about := url.Values{"tool": {tool}, "key": {key}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, ledger+"?"+about.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the ledger says %s (%w)", resp.Status, err)
	}
	return nil
}

package perdure_test

import (
	"strings"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/durable"
)

// An address that is none is refused; the NATS client would take most of them
// for the server on this machine.
func TestAddress_ThatNamesNoServerIsInvalid(t *testing.T) {
	t.Parallel()
	local := running(t, "", perdure.Host(greetKind())) // a server there would be found
	for address, want := range map[string]string{
		"bogus://127.0.0.1:4222":               `the address of a NATS server begins with "bogus://"; use nats://, tls://, ws://, wss://, e.g. nats://127.0.0.1:4222`,
		local.URL() + ",http://127.0.0.1:80":   `the address of a NATS server begins with "http://"; use nats://, tls://, ws://, wss://, e.g. nats://127.0.0.1:4222`,
		"nats://":                              `the address "nats://" names no host; use one like nats://127.0.0.1:4222`,
		":4222":                                `the address "nats://:4222" names no host; use one like nats://127.0.0.1:4222`,
		"nats://user:secret@":                  `the address "nats://user:xxxxx@" names no host; use one like nats://127.0.0.1:4222`,
		"nats://user:secret@127.0.0.1:x":       `an address has no port from 1 to 65535 after its colon; use one like nats://127.0.0.1:4222`,
		"127.0.0.1:99999":                      `the address "127.0.0.1:99999" has no port from 1 to 65535 after its colon; use one like nats://127.0.0.1:4222`,
		"nats://[::1]:0":                       `the address "[::1]:0" has no port from 1 to 65535 after its colon; use one like nats://127.0.0.1:4222`,
		"nats://127.0.0.1:":                    `the address "127.0.0.1:" has no port from 1 to 65535 after its colon; use one like nats://127.0.0.1:4222`,
		"nats://[::1":                          `the address that begins with "nats://" is not a URL; use one like nats://127.0.0.1:4222`,
		"":                                     `the address is empty; name a NATS server, e.g. nats://127.0.0.1:4222, or use Open to embed one`,
		" , ":                                  `the address is empty; name a NATS server, e.g. nats://127.0.0.1:4222, or use Open to embed one`,
		"BOGUS://" + strings.Repeat("x", 1000): `the address of a NATS server begins with "BOGUS://"; use nats://, tls://, ws://, wss://, e.g. nats://127.0.0.1:4222`,
	} {
		client, err := perdure.Dial(testContext(t), address, perdure.Logger(silent))
		if !durable.IsCode(err, "invalid") || err.Error() != "dial: "+want {
			t.Errorf("Dial of %.40q: %v, want %s", address, err, want)
		}
		if err == nil {
			_ = client.Close() // it is wrong already that there is one
		}
		node, err := perdure.Connect(testContext(t), address, perdure.Host(greetKind()), perdure.Logger(silent))
		if !durable.IsCode(err, "invalid") || err.Error() != "connect node: "+want {
			t.Errorf("Connect to %.40q: %v, want %s", address, err, want)
		}
		if err == nil {
			_ = node.Close()
		}
	}
	for _, address := range []string{local.URL(), strings.TrimPrefix(local.URL(), "nats://"), " " + local.URL() + " ,", strings.Replace(local.URL(), "nats", "NATS", 1)} {
		client, err := perdure.Dial(testContext(t), address, perdure.Logger(silent))
		if err != nil {
			t.Errorf("Dial of %q: %v", address, err)
			continue
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

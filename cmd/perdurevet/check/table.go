package check

import (
	"go/types"
	"slices"
	"strings"
)

// A denial says what is wrong with functions of a package: those of only, or all
// but those of except. A name is "Func", "Type.Method", "Type.*" for all methods
// of a type, or "*" for each function, not method, of the package. A name that
// ends with "*" stands for those that begin so.
type denial struct {
	rule         rule
	only, except []string
}

// denials is the table of what is outside of the module and is judged by name:
// the standard library, and packages that hide what they do from the analyzer.
var denials = map[string][]denial{
	"time": {{clock, []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}, nil}},
	"context": {
		{clock, []string{"WithTimeout*", "WithDeadline*"}, nil},
		{goroutine, []string{"AfterFunc"}, nil},
	},

	"math/rand":    {{random, []string{"*"}, []string{"New", "NewSource", "NewZipf"}}},
	"math/rand/v2": {{random, []string{"*"}, []string{"New", "NewPCG", "NewChaCha8", "NewZipf"}}},
	"crypto/rand":  {{random, []string{"*"}, nil}},
	"hash/maphash": {{random, []string{"MakeSeed"}, nil}},

	"github.com/google/uuid":                {{random, []string{"New*"}, []string{"NewMD5", "NewSHA1", "NewHash"}}},
	"github.com/gofrs/uuid":                 {{random, []string{"NewV1", "NewV4", "NewV6", "NewV7"}, nil}},
	"github.com/gofrs/uuid/v5":              {{random, []string{"NewV1", "NewV4", "NewV6", "NewV7"}, nil}},
	"github.com/satori/go.uuid":             {{random, []string{"NewV1", "NewV4"}, nil}},
	"github.com/hashicorp/go-uuid":          {{random, []string{"Generate*"}, nil}},
	"github.com/rs/xid":                     {{random, []string{"New*"}, nil}},
	"github.com/oklog/ulid":                 {{random, []string{"Now", "Make"}, nil}},
	"github.com/oklog/ulid/v2":              {{random, []string{"Now", "Make", "DefaultEntropy"}, nil}},
	"github.com/segmentio/ksuid":            {{random, []string{"New*"}, nil}},
	"github.com/lithammer/shortuuid":        {{random, []string{"New*"}, nil}},
	"github.com/lithammer/shortuuid/v4":     {{random, []string{"New*"}, nil}},
	"github.com/matoous/go-nanoid/v2":       {{random, []string{"New", "Must", "Generate", "MustGenerate"}, nil}},
	"github.com/nats-io/nuid":               {{random, []string{"Next", "NUID.Next", "New"}, nil}},
	"github.com/teris-io/shortid":           {{random, []string{"Generate", "MustGenerate"}, nil}},
	"github.com/jaevor/go-nanoid":           {{random, []string{"*"}, nil}},
	"github.com/bwmarrin/snowflake":         {{random, []string{"Node.Generate"}, nil}},
	"golang.org/x/sync/errgroup":            {{goroutine, []string{"Group.Go", "Group.TryGo"}, nil}, {block, []string{"Group.Wait"}, nil}},
	"golang.org/x/sync/semaphore":           {{block, []string{"Weighted.Acquire"}, nil}},
	"github.com/sourcegraph/conc":           {{goroutine, []string{"WaitGroup.Go"}, nil}, {block, []string{"WaitGroup.Wait*"}, nil}},
	"github.com/sourcegraph/conc/pool":      {{goroutine, []string{"Pool.Go", "ErrorPool.Go", "ContextPool.Go", "ResultPool.Go"}, nil}},
	"github.com/sourcegraph/conc/iter":      {{goroutine, []string{"*"}, nil}},
	"github.com/nats-io/nats.go":            {{effect, []string{"Connect", "Conn.*"}, nil}},
	"github.com/jmoiron/sqlx":               {{effect, []string{"Connect*", "Open", "DB.*", "Tx.*"}, nil}},
	"gorm.io/gorm":                          {{effect, []string{"Open", "DB.*"}, nil}},
	"google.golang.org/grpc":                {{effect, []string{"Dial*", "NewClient", "ClientConn.*"}, nil}},
	"github.com/gorilla/websocket":          {{effect, []string{"Dialer.*", "Conn.*"}, nil}},
	"github.com/redis/go-redis/v9":          {{effect, []string{"Client.*"}, []string{"Client.Options", "Client.String"}}},
	"github.com/go-resty/resty/v2":          {{effect, []string{"Request.Get", "Request.Post", "Request.Put", "Request.Delete", "Request.Patch", "Request.Execute", "Request.Send"}, nil}},
	"github.com/hashicorp/go-retryablehttp": {{effect, []string{"Get", "Post", "PostForm", "Head", "Client.*"}, nil}},

	"sync": {{goroutine, []string{"WaitGroup.Go"}, nil}, {block, []string{"WaitGroup.Wait", "Cond.Wait"}, nil}},

	"os": {
		{environ, []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Hostname", "Getpid", "Getppid", "Getwd", "Getuid", "Geteuid", "Getgid", "Getegid", "Getgroups", "Executable", "TempDir", "UserHomeDir", "UserCacheDir", "UserConfigDir"}, nil},
		{effect, []string{"*", "File.*", "Process.*", "Root.*"}, []string{"IsExist", "IsNotExist", "IsPermission", "IsTimeout", "IsPathSeparator", "NewSyscallError", "Expand", "Getpagesize", "SameFile", "File.Name", "File.Fd"}},
	},
	"os/exec":       {{effect, []string{"LookPath", "Cmd.Run", "Cmd.Start", "Cmd.Output", "Cmd.CombinedOutput", "Cmd.Wait"}, nil}},
	"os/signal":     {{effect, []string{"Notify*", "Ignore", "Reset", "Stop"}, nil}},
	"os/user":       {{environ, []string{"Current", "Lookup*"}, nil}},
	"runtime":       {{environ, []string{"NumCPU", "NumGoroutine", "GOMAXPROCS", "ReadMemStats"}, nil}},
	"io/ioutil":     {{effect, []string{"ReadFile", "WriteFile", "ReadDir", "TempDir", "TempFile"}, nil}},
	"path/filepath": {{effect, []string{"Walk", "WalkDir", "Glob", "EvalSymlinks"}, nil}, {environ, []string{"Abs"}, nil}},
	"syscall":       {{effect, []string{"Syscall*", "RawSyscall*", "Open", "Read", "Write", "Exec", "ForkExec", "Kill", "Mkdir", "Unlink", "Rename"}, nil}, {environ, []string{"Getenv", "Environ", "Getpid", "Gettimeofday"}, nil}},
	"net": {
		{effect, []string{"Dial*", "Listen*", "Lookup*", "Resolve*", "Interface*", "File*", "Dialer.*", "Resolver.*", "ListenConfig.*", "Conn.*", "PacketConn.*", "Listener.*", "TCPConn.*", "UDPConn.*", "IPConn.*", "UnixConn.*", "TCPListener.*", "UnixListener.*", "Interface.*", "conn.*"}, nil},
	},
	"net/http": {
		{effect, []string{"Get", "Head", "Post", "PostForm", "ListenAndServe*", "Serve", "ServeTLS", "ServeFile*", "Client.*", "Transport.RoundTrip", "RoundTripper.RoundTrip", "Server.Listen*", "Server.Serve*", "Server.Shutdown", "Server.Close"}, nil},
	},
	"net/rpc":         {{effect, []string{"Dial*", "Client.*"}, nil}},
	"net/rpc/jsonrpc": {{effect, []string{"Dial*"}, nil}},
	"net/smtp":        {{effect, []string{"Dial", "SendMail", "Client.*"}, nil}},
	"crypto/tls":      {{effect, []string{"Dial*", "Listen", "Dialer.*", "Conn.*", "LoadX509KeyPair"}, nil}},
	"database/sql":    {{effect, []string{"Open", "OpenDB", "DB.*", "Conn.*", "Tx.*", "Stmt.*"}, nil}},
	"plugin":          {{effect, []string{"Open"}, nil}},

	modulePath: {{client, []string{"Open", "Connect", "Dial", "Start", "Call", "Signal", "Ask", "Attach", "Client.*", "Node.*", "Run.*"}, []string{"Run.Ref"}}, {random, []string{"NewMessageID"}, nil}},
}

// deniedVars are variables that stand for the same.
var deniedVars = map[string]map[string]rule{
	"crypto/rand": {"Reader": random},
	"os":          {"Args": environ},
}

// deny returns what is wrong with a function that the table knows.
func deny(f *types.Func) (rule, bool) {
	path, _, _ := names(f)
	for _, d := range denials[path] {
		if d.denies(f) {
			return d.rule, true
		}
	}
	return "", false
}

func (d denial) denies(f *types.Func) bool {
	_, on, full := names(f)
	if on != "" {
		full = on + "." + full
	}
	is := func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		if !open || on != "" && !strings.Contains(pattern, ".") {
			return pattern == full
		}
		return strings.HasPrefix(full, prefix)
	}
	return slices.ContainsFunc(d.only, is) && !slices.ContainsFunc(d.except, is)
}

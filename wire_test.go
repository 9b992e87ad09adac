package perdure_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/actors"
	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/agents/models/openai"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// natsCLI is the path of the nats command line tool, which plays the sessions
// of the page where it is set; `make wire` does. Without it nats.go plays them.
const natsCLI = "PERDURE_NATS_CLI"

// wirePage is the page that describes the contract.
var wirePage = filepath.Join("docs", "reference", "wire.md")

func readPage(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(wirePage)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// An exchange is a command of a session and what it printed.
type exchange struct{ command, output string }

// sessions returns what the console blocks of the page hold.
func sessions(page string) (all []exchange) {
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(block[1]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				all = append(all, exchange{command: strings.TrimSpace(command)})
			} else {
				all[len(all)-1].output += line
			}
		}
	}
	return all
}

// words splits a command as a shell does that knows single quotes only.
func words(command string) (out []string) {
	for _, w := range regexp.MustCompile(`'[^']*'|[^\s']+`).FindAllString(command, -1) {
		out = append(out, strings.Trim(w, "'"))
	}
	return out
}

var (
	moments = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[\d:.]+Z"`)
	slots   = regexp.MustCompile(`perdure\.in\.\d+\.`)
	steps   = regexp.MustCompile(`"steps":\[.*\](,"step_count":\d+)?`)
	counted = regexp.MustCompile(`,"steps":\d+`)
)

// same removes from an output what differs each time: the time, and how long
// steps took.
func same(output string) string {
	for re, by := range map[*regexp.Regexp]string{moments: `"now"`, slots: "perdure.in.0.", steps: `"steps":[]`, counted: ""} {
		output = re.ReplaceAllString(output, by)
	}
	return strings.TrimSpace(output)
}

// A player plays the commands of a session.
type player interface {
	// request is `nats req`: the body of the answer, and whether it is an error.
	request(t *testing.T, args []string) string
	// subscribe is `nats sub --count 1`: it returns once it is subscribed;
	// the function waits for the message.
	subscribe(t *testing.T, args []string) func() string
}

// TestWire_SessionsOfThePage plays the sessions that the page shows against
// `perdure dev`, in order, and compares what they print.
func TestWire_SessionsOfThePage(t *testing.T) {
	t.Parallel()
	url := startDev(t, build(t), t.TempDir(), "127.0.0.1:0").url
	var with player = natsGo{connect(t, url)}
	if path := os.Getenv(natsCLI); path != "" {
		with = cli{path, url, t.TempDir()}
	}
	all := sessions(readPage(t))
	if len(all) < 15 {
		t.Fatalf("the page has %d commands, want more", len(all))
	}
	var last func()
	for _, x := range all {
		args := words(x.command)
		if len(args) < 3 || args[0] != "nats" {
			t.Fatalf("%q is no command of nats", x.command)
		}
		check := func(got string) bool { return same(got) == same(x.output) }
		switch args[1] {
		case "sub":
			await := with.subscribe(t, args[1:])
			last = func() {
				if got := await(); !check(got) {
					t.Errorf("$ %s\n%s", x.command, cmp.Diff(same(x.output), same(got)))
				}
			}
			continue
		case "req":
			got := with.request(t, args[1:])
			// what only reads is asked again: the runs of the page take a moment
			reads := regexp.MustCompile(`\.(get|list|query|events)$`).MatchString(args[2])
			for end := time.Now().Add(testWait); reads && !check(got) && time.Now().Before(end); {
				got = with.request(t, args[1:])
			}
			if !check(got) {
				t.Errorf("$ %s\n%s", x.command, cmp.Diff(same(x.output), same(got)))
			}
		default:
			t.Fatalf("nobody plays %q", x.command)
		}
		if last != nil {
			last()
			last = nil
		}
	}
}

// build builds the command.
func build(t *testing.T) (bin string) {
	t.Helper()
	bin = filepath.Join(t.TempDir(), "perdure")
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/perdure").CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v\n%s", err, out)
	}
	return bin
}

// A devNode is a running `perdure dev`.
type devNode struct {
	url string
	cmd *exec.Cmd
	out io.Reader
}

// startDev starts `perdure dev` in dir, and kills it with the test at the latest.
func startDev(t *testing.T, bin, dir, listen string, env ...string) *devNode {
	t.Helper()
	n := &devNode{cmd: exec.Command(bin, "dev", "--dir", filepath.Join(dir, "data"), "--nats", listen, "--name", "laptop")}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OPENAI_") && !strings.HasPrefix(v, "WEATHER_") && !strings.HasPrefix(v, "OTEL_") {
			n.cmd.Env = append(n.cmd.Env, v)
		}
	}
	n.cmd.Env = append(n.cmd.Env, env...)
	var stderr bytes.Buffer
	n.cmd.Stderr = &stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n.cmd.ProcessState == nil {
			_ = n.cmd.Process.Kill()
			_ = n.cmd.Wait() // killed
		}
		if t.Failed() {
			t.Logf("perdure dev said\n%s", &stderr)
		}
	})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) < 2 || fields[0] != "ready" || !strings.HasPrefix(fields[1], "nats://") {
		t.Fatalf("perdure dev says %q (%v)", line, err)
	}
	n.url, n.out = fields[1], lines
	return n
}

// end ends the node by a signal; by SIGTERM it must leave in good order.
func (n *devNode) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, n.out); err != nil {
		t.Error(err)
	}
	err := n.cmd.Wait()
	if status := n.cmd.ProcessState.Sys().(syscall.WaitStatus); sig == syscall.SIGTERM && err != nil || sig == syscall.SIGKILL && status.Signal() != sig {
		t.Fatalf("the node ended with %v", err)
	}
}

func connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// natsGo plays with nats.go.
type natsGo struct{ nc *nats.Conn }

func (p natsGo) request(t *testing.T, args []string) string {
	t.Helper()
	msg := nats.NewMsg(args[1])
	for i := 2; i < len(args); i++ {
		switch {
		case args[i] == "--raw":
		case args[i] == "-H":
			i++
			k, v, _ := strings.Cut(args[i], ":")
			msg.Header[k] = []string{v}
		default:
			msg.Data = []byte(args[i])
		}
	}
	m, err := p.nc.RequestMsgWithContext(testContext(t), msg)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	var e perdure.APIError
	_ = json.Unmarshal(m.Data, &e) // an answer that is no error has no code
	if code := m.Header.Get(micro.ErrorCodeHeader); (code != "") != (e.Code != "") || e.Code != "" && m.Header.Get(micro.ErrorHeader) != e.Message {
		t.Errorf("%v is answered by %s with the headers %v", args, m.Data, m.Header)
	}
	return string(m.Data)
}

func (p natsGo) subscribe(t *testing.T, args []string) func() string {
	t.Helper()
	sub, err := p.nc.SubscribeSync(args[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := p.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() string {
		m, err := sub.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return fmt.Sprintf("[#1] Received on %q\n%s", m.Subject, m.Data)
	}
}

// cli plays with the nats command line tool.
type cli struct{ path, url, home string }

func (p cli) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env = append(os.Environ(), "NATS_URL="+p.url, "NATS_CONTEXT=", "HOME="+p.home, "XDG_CONFIG_HOME="+filepath.Join(p.home, "config"))
	return cmd
}

func (p cli) request(t *testing.T, args []string) string {
	t.Helper()
	out, err := p.command(testContext(t), args).CombinedOutput()
	if err != nil {
		t.Fatalf("nats %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (p cli) subscribe(t *testing.T, args []string) func() string {
	t.Helper()
	cmd := p.command(testContext(t), args)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); !strings.Contains(line, "Subscribing on") {
		t.Fatalf("nats %v says %q (%v)", args, line, err)
	}
	return func() string {
		rest, err := io.ReadAll(lines)
		if err = errors.Join(err, cmd.Wait()); err != nil {
			t.Fatalf("nats %v: %v\n%s", args, err, rest)
		}
		return string(rest)
	}
}

// The tables of the page name what the code has, and nothing else.
func TestWire_ThePageIsCurrent(t *testing.T) {
	t.Parallel()
	page := readPage(t)
	rows := func(re string) (got []string) {
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(page, -1) {
			for cell := range strings.SplitSeq(m[1], ", ") {
				got = append(got, strings.Trim(cell, "`"))
			}
		}
		slices.Sort(got)
		return slices.Compact(got)
	}
	node := running(t, "", perdure.Name("one"), perdure.Host(greetKind(), agents.New(durable.Declare[string, string]("greeter"), agents.UseModel(openai.New("none", openai.APIKey("none"))))))
	endpoints := []string{"servers.list", "servers.remove"} // of a node whose server is one of a cluster
	named := regexp.MustCompile(`^kinds\.(?:greet|greeter)\.(settings\.)?(.*)$`)
	for _, e := range service(t, plain(t, node)).Endpoints {
		name := strings.TrimPrefix(e.Subject, "perdure.api.")
		if m := named.FindStringSubmatch(name); m != nil {
			if name = "kinds.<kind>." + m[1]; m[1] != "" {
				m[2] = "<node>"
			}
			name += m[2]
		}
		endpoints = append(endpoints, name)
	}
	slices.Sort(endpoints)
	endpoints = slices.Compact(endpoints) // of two kinds
	if diff := cmp.Diff(endpoints, rows("(?m)^\\| ((?:`[a-z]+\\.[a-z<>.]+`(?:, )?)+) \\| [^|]*\\| [^|]*\\|$")); diff != "" {
		t.Errorf("endpoints (-code +page):\n%s", diff)
	}
	headers := []string{
		broker.HeaderID, broker.HeaderMethod, broker.HeaderSignal, broker.HeaderUpdate, broker.HeaderRun, broker.HeaderEnvelope, broker.HeaderPriority,
		broker.HeaderDeadline, broker.HeaderSession, broker.HeaderBusy,
		"Nats-Msg-Id", "traceparent", "tracestate", "baggage",
	}
	slices.Sort(headers)
	if diff := cmp.Diff(headers, rows("(?m)^\\| ((?:`(?:Perdure|Nats)-[A-Za-z-]+`(?:, )?)+|`traceparent`[^|]*) \\| [^|]*\\|$")); diff != "" {
		t.Errorf("headers (-code +page):\n%s", diff)
	}
	for _, word := range []string{broker.HeaderCode, broker.HeaderReason, broker.HeaderSubject, broker.HeaderSequence, micro.ErrorCodeHeader} {
		if !strings.Contains(page, "`"+word+"`") {
			t.Errorf("the page does not name %s", word)
		}
	}
	for endpoint, of := range map[string]reflect.Type{"runs.get": reflect.TypeFor[perdure.RunInfo](), "runs.list": reflect.TypeFor[perdure.RunSummary]()} {
		row := regexp.MustCompile("(?m)^\\| `" + endpoint + "` .*$").FindString(page)
		for _, f := range reflect.VisibleFields(of) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			notice := len(f.Index) > 1 // of actors.Done, which has a table of its own
			if name != "" && !notice && !strings.Contains(row, "`"+name+"`") {
				t.Errorf("the row of %s does not name %s", endpoint, name)
			}
		}
	}
	for number := range schemas.Status_name {
		status := actors.StatusName(schemas.Status(number))
		if number != 0 && !strings.Contains(page, "`"+status+"`") {
			t.Errorf("the page does not name the status %s", status)
		}
	}
}

// service asks for the micro service of the node, as `nats micro info` does.
func service(t testing.TB, nc *nats.Conn) micro.Info {
	t.Helper()
	var info micro.Info
	m, err := nc.RequestWithContext(testContext(t), "$SRV.INFO.perdure", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(m.Data, &info); err != nil {
		t.Fatal(err)
	}
	return info
}

func TestWire_IsDiscoveredAsAMicroService(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind()), perdure.Namespace("acme"))
	info := service(t, plain(t, node))
	if info.Name != "perdure" || info.Metadata["namespace"] != "acme" || info.Metadata["pool"] != "default" || !strings.Contains(info.Description, "acme") {
		t.Errorf("the service is %+v", info)
	}
	for _, e := range info.Endpoints {
		if !strings.HasPrefix(e.Subject, "acme.api.") {
			t.Errorf("the endpoint %s is at %s, want it below acme.api", e.Name, e.Subject)
		}
	}
}

// Parts of subjects are written as the page says.
func TestWire_NamesOfAnyText(t *testing.T) {
	t.Parallel()
	nc := plain(t, running(t, "", perdure.Host(accountKind())))
	sub, err := nc.SubscribeSync("perdure.done.account.Zürich%20%2F%2E.order%2017%2Fa")
	if err != nil {
		t.Fatal(err)
	}
	send(t, nc, "perdure.task.local.account.Zürich%20%2F%2E", `{"cents":7}`, "Perdure-Id", "order 17/a", "Perdure-Method", "pay")
	m, err := sub.NextMsgWithContext(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Run, Status string
		Result      int
	}
	if err := json.Unmarshal(m.Data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Run != "account/Zürich%20%2F%2E/order%2017%2Fa" || got.Status != "completed" || got.Result != 7 {
		t.Errorf("the notice is %s", m.Data)
	}
	if info := answered[perdure.RunInfo](t, nc, "runs.get", fmt.Sprintf(`{"run":%q}`, got.Run)); info.Status != "completed" {
		t.Errorf("the run is %+v", info)
	}
}

// A workflow's key is its ID; any other run's is made of the acknowledgement.
func TestWire_WithoutAnID(t *testing.T) {
	t.Parallel()
	node := running(t, "", perdure.Host(greetKind(), accountKind()))
	nc := plain(t, node)
	send(t, nc, "perdure.task.local.greet.world", `"world"`)
	reaches(t, nc, "greet/world/world", "completed")
	sub, err := nc.SubscribeSync("perdure.done.account.a.*")
	if err != nil {
		t.Fatal(err)
	}
	send(t, nc, "perdure.task.local.account.a", `{"cents":1}`, "Perdure-Method", "pay")
	m, err := sub.NextMsgWithContext(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if id := m.Subject[len("perdure.done.account.a."):]; !regexp.MustCompile(`^[0-9a-z]+-3$`).MatchString(id) { // behind the message that is kept, and the workflow's
		t.Errorf("the ID is %s, want the stream's creation time and the sequence 3", id)
	}
}

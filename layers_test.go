package perdure_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/perdure/perdure"

// layers names, for each top-level folder ("" is the root), the sibling
// folders that it may import directly. An absent edge is forbidden: adding one
// is an architectural decision and needs a record in docs/decisions.
var layers = map[string][]string{
	"schemas":   {},
	"broker":    {"schemas"},
	"cluster":   {"broker", "schemas"},
	"runtime":   {"schemas"},
	"durable":   {"runtime", "schemas"},
	"actors":    {"durable", "runtime", "cluster", "broker", "schemas"},
	"agents":    {"actors", "durable", "runtime", "schemas"},
	"config":    {"durable", "broker", "schemas"},
	"":          {"config", "agents", "actors", "durable", "runtime", "cluster", "broker", "schemas"},
	"console":   {"", "durable", "schemas"},
	"cmd":       {"", "config", "console", "examples", "agents", "actors", "durable", "runtime", "broker", "schemas"}, // broker: the benchmarks measure the bare server
	"examples":  {"", "config", "agents", "actors", "durable"},
	"contracts": {"", "actors", "durable", "schemas"}, // tests only
	"docs":      {},                                   // the protocol as a model: it imports nothing of what it models
}

// testKits names the test kits that the test files of a folder may import
// although the folder may not import the kit's layer.
var testKits = map[string][]string{
	"agents":    {"broker/brokertest"},
	"examples":  {"broker/brokertest"},
	"contracts": {"broker/brokertest"},
}

// wall names, for each guarded dependency, the only folders that may import it.
var wall = map[string][]string{
	"github.com/nats-io/nats.go":        {"broker", ""}, // "" to accept a user's own connection
	"github.com/nats-io/nats-server/v2": {"broker"},
	"github.com/asynkron/protoactor-go": {"actors", "cluster"},
	"github.com/stretchr/testify":       {}, // the standard library's testing and go-cmp
}

// shown names the guarded types that a folder's exported API may show: "*" is any.
var shown = map[string][]string{
	"broker": {"*"},
	"":       {"nats.Conn", "nats.Option"}, // a user's own connection, and how to make one
}

// within returns the path of a package below the module's, "" for the root.
func within(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, module)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}

// folder returns the top-level folder of a package of this module.
func folder(path string) (string, bool) {
	rest, ok := within(path)
	top, _, _ := strings.Cut(rest, "/")
	return top, ok
}

// guarded returns the dependency of the wall that holds the package, if any.
func guarded(path string) (string, bool) {
	for dep := range wall {
		if path == dep || strings.HasPrefix(path, dep+"/") {
			return dep, true
		}
	}
	return "", false
}

// isKit reports whether a package is a test kit: brokertest, durabletest, ...
func isKit(path string) bool { return strings.HasSuffix(path, "test") }

// checkLayers returns what is wrong with the imports of p.
func checkLayers(p pkg) (wrong []string) {
	from, _ := folder(p.ImportPath)
	allowed, known := layers[from]
	if !known {
		return []string{fmt.Sprintf("%s: folder %q has no layer: add it to layers", p.ImportPath, from)}
	}
	check := func(imports []string, inTest bool) {
		for _, imp := range imports {
			if dep, ok := guarded(imp); ok && !slices.Contains(wall[dep], from) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: only %q may", p.ImportPath, imp, wall[dep]))
			}
			to, ours := folder(imp)
			if !ours {
				continue
			}
			kit, _ := within(imp)
			if isKit(imp) && !inTest && !isKit(p.ImportPath) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: a test kit is for test files", p.ImportPath, imp))
			}
			if to != from && !slices.Contains(allowed, to) && (!inTest || !slices.Contains(testKits[from], kit)) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %q may import only %q", p.ImportPath, imp, from, allowed))
			}
		}
	}
	check(p.Imports, false)
	check(p.TestImports, true)
	check(p.XTestImports, true)
	return wrong
}

func TestLayers(t *testing.T) {
	for _, p := range list(t) {
		for _, w := range checkLayers(p) {
			t.Error(w)
		}
	}
}

func TestLayersCheckerIsRed(t *testing.T) {
	ours := func(paths ...string) (out []string) {
		for _, p := range paths {
			out = append(out, strings.TrimSuffix(module+"/"+p, "/"))
		}
		return out
	}
	at := func(path string, imports ...string) pkg {
		return pkg{ImportPath: ours(path)[0], Imports: imports}
	}
	for name, c := range map[string]struct {
		p    pkg
		want string // part of the complaint; empty: none
	}{
		"legal":                     {at("actors", ours("broker", "runtime", "schemas")...), ""},
		"within a folder":           {at("agents/team", ours("agents", "agents/models/openai")...), ""},
		"the root joins all":        {at("", append(ours("agents", "cluster"), "github.com/nats-io/nats.go")...), ""},
		"upwards":                   {at("broker", ours("actors")...), `"broker" may import only`},
		"sideways":                  {at("runtime", ours("broker")...), `"runtime" may import only`},
		"below a folder":            {at("runtime/codec", ours("cluster/view")...), `"runtime" may import only`},
		"the root from below":       {at("durable", ours("")...), `"durable" may import only`},
		"unknown folder":            {at("util"), "has no layer"},
		"walled":                    {at("runtime", "github.com/nats-io/nats.go/jetstream"), `only ["broker" ""] may`},
		"walled server":             {at("", "github.com/nats-io/nats-server/v2/server"), `only ["broker"] may`},
		"walled actor system":       {at("broker", "github.com/asynkron/protoactor-go/actor"), `only ["actors" "cluster"] may`},
		"a name that only begins":   {at("runtime", "github.com/nats-io/nats.golang", module+"x/broker"), ""},
		"in a test":                 {pkg{ImportPath: ours("schemas")[0], TestImports: ours("broker")}, `"schemas" may import only`},
		"in an external test":       {pkg{ImportPath: ours("runtime")[0], XTestImports: ours("broker/brokertest")}, `"runtime" may import only`},
		"walled in a test":          {pkg{ImportPath: ours("agents")[0], XTestImports: []string{"github.com/nats-io/nats.go"}}, "only"},
		"kit in a test":             {pkg{ImportPath: ours("agents")[0], XTestImports: ours("broker/brokertest")}, ""},
		"the layer below a kit":     {pkg{ImportPath: ours("agents")[0], XTestImports: ours("broker")}, `"agents" may import only`},
		"kit in production":         {at("actors", ours("broker/brokertest")...), "a test kit is for test files"},
		"kit in its own production": {at("durable", ours("durable/durabletest")...), "a test kit is for test files"},
		"kit on a kit":              {at("durable/durabletest", ours("runtime/runtimetest")...), ""},
		"testify":                   {pkg{ImportPath: ours("broker")[0], TestImports: []string{"github.com/stretchr/testify/require"}}, "only [] may"},
	} {
		t.Run(name, func(t *testing.T) {
			expectComplaint(t, checkLayers(c.p), c.want)
		})
	}
}

// expectComplaint fails unless one of the complaints contains want, or there
// is none where want is empty.
func expectComplaint(t *testing.T, got []string, want string) {
	t.Helper()
	if want == "" {
		if len(got) > 0 {
			t.Errorf("complaints %q, want none", got)
		}
		return
	}
	if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
		t.Errorf("complaints %q, want one that contains %q", got, want)
	}
}

// localName returns the name that an import without an alias gets.
func localName(path string) string {
	segs := strings.Split(path, "/")
	last := segs[len(segs)-1]
	if len(segs) > 1 && len(last) > 1 && last[0] == 'v' && last[1] >= '2' && last[1] <= '9' {
		last = segs[len(segs)-2]
	}
	return strings.TrimSuffix(last, ".go")
}

// checkForeignTypes returns the guarded types that the exported API of a file
// of a folder shows. It sees syntax only: an alias can slip through.
func checkForeignTypes(from, name string, src []byte) (wrong []string, err error) {
	if slices.Contains(shown[from], "*") {
		return nil, nil
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	foreign := map[string]string{} // local name -> guarded import path
	for _, s := range f.Imports {
		path, _ := strconv.Unquote(s.Path.Value)
		if _, ok := guarded(path); ok {
			local := localName(path)
			if s.Name != nil {
				local = s.Name.Name
			}
			foreign[local] = path
		}
	}
	ast.FileExports(f) // drops unexported names
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			fn.Body = nil
		}
		ast.Inspect(d, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := sel.X.(*ast.Ident); ok && foreign[id.Name] != "" && !slices.Contains(shown[from], id.Name+"."+sel.Sel.Name) {
					wrong = append(wrong, fmt.Sprintf("%s: exported API shows %s.%s", fset.Position(n.Pos()), foreign[id.Name], sel.Sel.Name))
				}
			}
			return true
		})
	}
	return wrong, nil
}

// TestForeignTypes keeps guarded dependencies out of public signatures.
func TestForeignTypes(t *testing.T) {
	for _, p := range list(t) {
		from, _ := folder(p.ImportPath)
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			wrong, err := checkForeignTypes(from, path, src)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range wrong {
				t.Error(w)
			}
		}
	}
}

func TestForeignTypesCheckerIsRed(t *testing.T) {
	head := "package x\nimport (\n\t\"github.com/nats-io/nats.go\"\n\tpa \"github.com/asynkron/protoactor-go/actor\"\n)\n"
	for name, c := range map[string]struct{ from, src, want string }{
		"inside a body":       {"actors", "func F() { var _ *pa.PID; _ = nats.Connect }", ""},
		"unexported":          {"actors", "func f(*pa.PID) {}\ntype t struct{ P *pa.PID }", ""},
		"unexported field":    {"actors", "type T struct{ p *pa.PID }", ""},
		"parameter":           {"actors", "func F(*pa.PID) {}", "shows github.com/asynkron/protoactor-go/actor.PID"},
		"exported field":      {"actors", "type T struct{ P *pa.PID }", "actor.PID"},
		"interface method":    {"actors", "type T interface{ P() pa.PID }", "actor.PID"},
		"broker may":          {"broker", "func F(*nats.Conn) {}", ""},
		"the user's own":      {"", "func Use(*nats.Conn) {}", ""},
		"no other type there": {"", "func Use(*nats.Msg) {}", "nats.go.Msg"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := checkForeignTypes(c.from, "x.go", []byte(head+c.src))
			if err != nil {
				t.Fatal(err)
			}
			expectComplaint(t, got, c.want)
		})
	}
}

// TestDeps holds what the pure layers reach outside the standard library, also
// through others: a dependency that creeps in is a reviewed diff.
func TestDeps(t *testing.T) {
	list(t)
	for _, name := range []string{"schemas", "runtime", "durable"} {
		out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./"+name).CombinedOutput()
		if err != nil {
			t.Fatalf("go list -deps ./%s: %v\n%s", name, err, out)
		}
		deps := strings.Fields(string(out))
		slices.Sort(deps)
		golden(t, filepath.Join("testdata", "deps", name+".txt"), strings.Join(deps, "\n")+"\n")
	}
}

// TestLayersTable holds the table of CONTRIBUTING.md to the map.
func TestLayersTable(t *testing.T) {
	text, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		name := func(s string) string { return strings.Trim(strings.TrimSpace(s), "`/") }
		from := name(cells[1])
		if from == "root" {
			from = ""
		} else if _, ok := layers[from]; !ok {
			continue
		}
		told[from] = []string{}
		for cell := range strings.SplitSeq(cells[2], ",") {
			switch to := name(cell); to {
			case "nothing":
			case "root":
				told[from] = append(told[from], "")
			default:
				told[from] = append(told[from], to)
			}
		}
	}
	for from, allowed := range layers {
		if !slices.Equal(told[from], allowed) {
			t.Errorf("CONTRIBUTING.md: %q may import %q, the map says %q", from, told[from], allowed)
		}
	}
}

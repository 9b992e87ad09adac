package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A target is a server, and what is done with it.
type target struct {
	name, pkg string
	http      bool
	args      []string          // ${dir} is a folder of its own
	env       map[string]string // likewise
	calls     []call            // in this order
	killAt    string            // the tool during whose first call the node is killed
	left      map[string]string // the tools that are not called, with the reason
	setup     func(dir string) error
	after     func(dir string) error // looks at what the run has left behind
}

// A call is one of a tool, and what its result has to be.
type call struct {
	tool, arguments string // ${dir} is a folder of its own
	want            func(result, dir string) error
}

func (c call) with(dir string) string { return strings.ReplaceAll(c.arguments, "${dir}", dir) }

// holdAt is the round of the model in which the node is killed as well: one behind that
// with the call, or in front of it.
func (t target) holdAt() int {
	i := slices.IndexFunc(t.calls, func(c call) bool { return c.tool == t.killAt })
	if i > len(t.calls)/2 {
		return i / 2
	}
	return i + 2
}

func (t target) prepare(dir string) error {
	if t.setup == nil {
		return nil
	}
	return t.setup(dir)
}

// has wants a result with all of these in it; those that begin with ! are not to be there.
func has(parts ...string) func(result, dir string) error {
	return func(result, dir string) error {
		for _, p := range parts {
			p, not := strings.CutPrefix(strings.ReplaceAll(p, "${dir}", dir), "!")
			if strings.Contains(result, p) == not {
				return fmt.Errorf("the result is %.1000q, want it with %q (%t)", result, p, !not)
			}
		}
		return nil
	}
}

// targets are the servers.
var targets = []target{
	everything("everything over stdio", false),
	everything("everything over HTTP", true),
	{
		name: "filesystem over stdio", pkg: "@modelcontextprotocol/server-filesystem", args: []string{"${dir}"}, killAt: "write_file",
		calls: []call{
			{"list_allowed_directories", `{}`, has("Allowed directories:", "${dir}")},
			{"create_directory", `{"path":"${dir}/notes"}`, has("Successfully created directory", "notes")},
			{"write_file", `{"path":"${dir}/notes/list.txt","content":"bread\nmilk\nsalt\n"}`, has("Successfully wrote to", "list.txt")},
			{"read_text_file", `{"path":"${dir}/notes/list.txt"}`, has("bread", "milk", "salt", "!-milk", "!more.txt")},
			{"read_file", `{"path":"${dir}/notes/list.txt","tail":2}`, has(`"salt\n"`, "!milk")},
			{"write_file", `{"path":"${dir}/notes/more.txt","content":"pepper"}`, has("Successfully wrote to", "more.txt")},
			{"read_multiple_files", `{"paths":["${dir}/notes/list.txt","${dir}/notes/more.txt"]}`, has("bread", "pepper", "list.txt", "more.txt")},
			{"edit_file", `{"path":"${dir}/notes/list.txt","edits":[{"oldText":"milk","newText":"oat milk"}]}`, has("-milk", "+oat milk")},
			{"move_file", `{"source":"${dir}/notes/more.txt","destination":"${dir}/notes/spice.txt"}`, has("Successfully moved", "more.txt", "spice.txt")},
			{"list_directory", `{"path":"${dir}/notes"}`, has("[FILE] list.txt", "[FILE] spice.txt", "!Total", "!more.txt")},
			{"list_directory_with_sizes", `{"path":"${dir}/notes","sortBy":"size"}`, has("list.txt", "spice.txt", "6 B", "Total: 2 files")},
			{"directory_tree", `{"path":"${dir}"}`, has("notes", "children", "spice.txt")},
			{"search_files", `{"path":"${dir}","pattern":"**/*.txt"}`, has("${dir}/notes/list.txt", "${dir}/notes/spice.txt", "!moved")},
			{"get_file_info", `{"path":"${dir}/notes/spice.txt"}`, has("size: 6", "isFile: true")},
			{"read_media_file", `{"path":"${dir}/dot.png"}`, has("image/png", fmt.Sprintf("%d bytes", len(dot)))},
			{"read_text_file", `{"path":"/etc/passwd"}`, has("tool_error", "Access denied")},
		},
		setup: func(dir string) error { return os.WriteFile(filepath.Join(dir, "dot.png"), dot, 0o600) },
		after: func(dir string) error {
			var errs []error
			for name, want := range map[string]string{"notes/list.txt": "bread\noat milk\nsalt\n", "notes/spice.txt": "pepper"} {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
					errs = append(errs, fmt.Errorf("%s has %q (%w), want %q", name, got, err, want))
				}
			}
			return errors.Join(errs...)
		},
	},
	{
		name: "memory over stdio", pkg: "@modelcontextprotocol/server-memory", env: map[string]string{"MEMORY_FILE_PATH": "${dir}/memory.jsonl"}, killAt: "add_observations",
		calls: []call{
			{"create_entities", `{"entities":[{"name":"mill","entityType":"building","observations":["it has a wheel"]},{"name":"river","entityType":"water","observations":["it is shallow"]},{"name":"shed","entityType":"building","observations":[]}]}`, has("mill", "river", "shed", "!relations", "!turns", "!observed")},
			{"create_relations", `{"relations":[{"from":"river","to":"mill","relationType":"turns"},{"from":"mill","to":"shed","relationType":"is beside"}]}`, has("turns", "is beside", "!wheel")},
			{"add_observations", `{"observations":[{"entityName":"mill","contents":["it was built of brick"]}]}`, has("entityName", "mill")}, // what it adds is nothing the second time
			{"read_graph", `{}`, has("wheel", "shallow", "brick", "turns", "is beside")},
			{"search_nodes", `{"query":"shallow"}`, has("river", "shallow", "!wheel")},
			{"open_nodes", `{"names":["mill"]}`, has("wheel", "brick", "!shallow")},
			{"delete_observations", `{"deletions":[{"entityName":"mill","observations":["it has a wheel"]}]}`, has("Observations deleted")},
			{"delete_relations", `{"relations":[{"from":"river","to":"mill","relationType":"turns"}]}`, has("Relations deleted")},
			{"delete_entities", `{"entityNames":["river"]}`, has("Entities deleted")},
			{"read_graph", `{}`, has("brick", "is beside", "!wheel", "!shallow", "!turns")},
		},
		after: func(dir string) error {
			got, err := os.ReadFile(filepath.Join(dir, "memory.jsonl"))
			if err != nil {
				return err
			}
			return has("brick", "is beside", "!wheel", "!shallow", "!turns")(string(got), dir)
		},
	},
}

const asksSomebody = "it asks a person, or the model of the client"

func everything(name string, http bool) target {
	t := target{
		name: name, pkg: "@modelcontextprotocol/server-everything", http: http, args: []string{"stdio"}, env: map[string]string{"COUNTERPARTS": "in the environment"},
		killAt: "trigger-long-running-operation",
		calls: []call{
			{"echo", `{"message":"there and back"}`, has("Echo: there and back")},
			{"get-annotated-message", `{"messageType":"error","includeImage":true}`, has("Error: Operation failed", "[an image, image/png")},
			{"get-env", `{}`, has("COUNTERPARTS", "in the environment")},
			{"get-resource-links", `{"count":3}`, has("Here are 3 resource links", "a link to demo://resource/dynamic/text/2")},
			{"get-resource-reference", `{"resourceType":"Blob","resourceId":2}`, has("resource reference for Resource 2", "[a resource, demo://resource/dynamic/blob/2")},
			{"get-structured-content", `{"location":"Chicago"}`, has(`"temperature":36`, `"humidity":82`)},
			{"get-sum", `{"a":19,"b":23}`, has("The sum of 19 and 23 is 42.")},
			{"trigger-long-running-operation", `{"duration":0.5,"steps":2}`, has("Long running operation completed. Duration: 0.5 seconds, Steps: 2.")},
			{"get-tiny-image", `{}`, has("[an image, image/png", "The image above is the MCP logo.")},
			{"gzip-file-as-resource", `{"name":"text.gz","data":"data:text/plain;base64,cGVwcGVy","outputType":"resource"}`, has("application/gzip")},
			{"toggle-simulated-logging", `{}`, has("Started simulated, random-leveled logging")},
			{"toggle-simulated-logging", `{}`, has("Stopped simulated logging")},
			{"toggle-subscriber-updates", `{}`, has("Started simulated resource updated")},
			{"toggle-subscriber-updates", `{}`, has("Stopped simulated resource updates")},
			{"simulate-research-query", `{"topic":"tides"}`, has("task")},
		},
		left: map[string]string{
			"get-roots-list": "an agent has no roots", "trigger-elicitation-request": asksSomebody, "trigger-url-elicitation": asksSomebody,
			"trigger-sampling-request": asksSomebody, "trigger-sampling-request-async": asksSomebody, "trigger-elicitation-request-async": asksSomebody,
		},
	}
	if http {
		t.args = []string{"streamableHttp"}
	}
	return t
}

// dot is an image of one pixel.
var dot, _ = base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readFile sets what a YAML file says.
func (c *Config) readFile(path string) (faults Faults) {
	f, err := os.Open(path)
	if err != nil {
		return Faults{{Where: "--" + fileFlag, Key: fileFlag, Found: path, Wrong: fmt.Sprintf("it cannot be read: %v", cmp.Or(errors.Unwrap(err), err))}}
	}
	defer f.Close()
	in := yaml.NewDecoder(f)
	var doc yaml.Node
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF): // an empty file says nothing
		return nil
	case err != nil:
		return Faults{notYAML(path, err)}
	}
	r := fileReader{c: c, path: path}
	r.group(doc.Content[0], "")
	var more yaml.Node
	switch err := in.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		r.faults = append(r.faults, notYAML(path, err))
	default:
		r.say(&more, "---", "a file holds one configuration, and here begins another one; leave one")
	}
	return r.faults
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// notYAML is what is wrong with a file that cannot be parsed.
func notYAML(path string, err error) Fault {
	where, text := path, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = strings.TrimPrefix(text, m[0])
		if m[1] != "" {
			where += ":" + m[1]
		}
	}
	return Fault{Where: where, Key: "the file", Wrong: "it is not YAML: " + text}
}

// A fileReader sets what nodes of a file say.
type fileReader struct {
	c      *Config
	path   string
	faults Faults
}

func (r *fileReader) where(n *yaml.Node) string { return fmt.Sprintf("%s:%d", r.path, n.Line) }

func (r *fileReader) say(n *yaml.Node, key, wrong string) {
	r.faults = append(r.faults, Fault{Where: r.where(n), Key: key, Wrong: wrong})
}

// group reads the keys below a key, which ends with a dot, or is empty.
func (r *fileReader) group(n *yaml.Node, below string) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		if n.Tag == "!!null" { // a group without keys
			return
		}
		r.say(n, cmp.Or(strings.TrimSuffix(below, "."), "the file"), "use KEY: VALUE, a line each")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i], n.Content[i+1]
		key := below + name.Value
		if line, again := seen[key]; again {
			r.say(name, key, fmt.Sprintf("it is there twice, first in line %d; leave one", line))
			continue
		}
		seen[key] = name.Line
		switch s := settingOf(key); {
		case s != nil:
			r.setting(s, v)
		case isGroup(key):
			r.group(v, key+".")
		default:
			r.say(name, key, unknown(key, below))
		}
	}
}

func (r *fileReader) setting(s *setting, n *yaml.Node) {
	at := n
	n = resolve(n)
	text, ok := textOf(s, n)
	switch {
	case n.Tag == "!!null":
		r.say(at, s.key, "it has no value; leave the line out, or give it one")
	case !ok && s.form == list:
		r.say(at, s.key, "use a list: [a, b], or a line with a dash for each")
	case !ok && s.form == mapping:
		r.say(at, s.key, "use NAME: VALUE, a line each, below it")
	case !ok:
		r.say(at, s.key, "it has one value, and no list or keys below it")
	default:
		if f := r.c.set(s, text, r.where(at)); f != nil {
			r.faults = append(r.faults, *f)
		}
	}
}

// textOf is the value of a node as a flag has it; ok is false if it has another form.
func textOf(s *setting, n *yaml.Node) (text string, ok bool) {
	switch {
	case n.Kind == yaml.ScalarNode:
		return n.Value, true
	case s.form == list && n.Kind == yaml.SequenceNode:
		var all []string
		for _, e := range n.Content {
			if e = resolve(e); e.Kind != yaml.ScalarNode {
				return "", false
			}
			all = append(all, e.Value)
		}
		return strings.Join(all, ","), true
	case s.form == mapping && n.Kind == yaml.MappingNode:
		var all []string
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := resolve(n.Content[i]), resolve(n.Content[i+1])
			if k.Kind != yaml.ScalarNode || v.Kind != yaml.ScalarNode {
				return "", false
			}
			all = append(all, k.Value+"="+v.Value)
		}
		return strings.Join(all, ","), true
	}
	return "", false
}

// resolve follows an alias of YAML.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

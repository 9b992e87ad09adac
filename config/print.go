package config

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"
)

// An Entry is a setting that is in force.
type Entry struct {
	Key   string `json:"key"`
	Value string `json:"value"` // masked, if it is a secret
	From  string `json:"from"`  // FILE:LINE, --FLAG, $VARIABLE or default

	form form
}

// masked is printed in place of a secret.
const masked = "***"

// Entries returns what is in force, in the order of the reference: what somebody has
// set, and what has a default.
func (c *Config) Entries() (all []Entry) {
	for i := range settings {
		s := &settings[i]
		e := Entry{Key: s.key, Value: s.get(c), From: c.origins[s.key], form: s.form}
		switch {
		case e.Value == "":
			e.Value, e.From = s.byDef, byDefault
		case s.secret:
			e.Value = masked
		case s.key == "url":
			e.Value = publicURL(e.Value)
		}
		if e.From == "" {
			e.From = byDefault
		}
		if e.Value != "" {
			all = append(all, e)
		}
	}
	return all
}

// publicURL is a list of addresses without the passwords and tokens in them.
func publicURL(list string) string {
	addresses := strings.Split(list, ",")
	for i, a := range addresses {
		bare := !strings.Contains(a, "://")
		if bare {
			a = "nats://" + a
		}
		u, err := url.Parse(strings.TrimSpace(a))
		switch {
		case err != nil: // whatever stands before the server may be a secret
			if at := strings.LastIndexByte(a, '@'); at >= 0 {
				addresses[i] = masked + a[at:]
			}
		case u.User == nil:
		default:
			if _, ok := u.User.Password(); !ok { // a token
				u.User = url.User(masked)
			} else {
				u.User = url.UserPassword(u.User.Username(), masked)
			}
			// what String would write as %2A%2A%2A
			addresses[i] = strings.ReplaceAll(u.String(), url.QueryEscape(masked), masked)
		}
	}
	return strings.Join(addresses, ",")
}

// Print writes what is in force as YAML that a node takes, but for the secrets, with where
// each value comes from.
func (c *Config) Print(w io.Writer) error {
	type line struct{ text, from string }
	var lines []line
	var within []string
	wide := 0
	add := func(text, from string) {
		lines = append(lines, line{text, from})
		if from != "" && len(text) <= widest {
			wide = max(wide, len(text))
		}
	}
	for _, e := range c.Entries() {
		path := strings.Split(e.Key, ".")
		groups := path[:len(path)-1]
		same := 0
		for same < len(groups) && same < len(within) && groups[same] == within[same] {
			same++
		}
		for i := same; i < len(groups); i++ {
			add(strings.Repeat("  ", i)+groups[i]+":", "")
		}
		within = groups
		text, err := yamlOf(e)
		if err != nil {
			return fmt.Errorf("print %s: %w", e.Key, err)
		}
		add(strings.Repeat("  ", len(groups))+path[len(path)-1]+": "+text, e.From)
	}
	for _, l := range lines {
		text := l.text
		if l.from != "" {
			text = fmt.Sprintf("%-*s  # %s", wide, l.text, l.from)
		}
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	return nil
}

// widest is a line that the comments of others are moved for.
const widest = 48

// yamlOf is the value of an entry as YAML has it, on one line.
func yamlOf(e Entry) (string, error) {
	var v yaml.Node
	scalarOf := func(text string) *yaml.Node {
		n := &yaml.Node{}
		if err := yaml.Unmarshal([]byte(text), n); err == nil && len(n.Content) == 1 && n.Content[0].Kind == yaml.ScalarNode && n.Content[0].Value == text && n.Content[0].Tag != "!!null" {
			return &yaml.Node{Kind: yaml.ScalarNode, Value: text} // it means itself, as it stands
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Value: text, Style: yaml.DoubleQuotedStyle}
	}
	switch e.form {
	case list:
		v = yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for t := range strings.SplitSeq(e.Value, ",") {
			v.Content = append(v.Content, scalarOf(t))
		}
	case mapping:
		v = yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		for t := range strings.SplitSeq(e.Value, ",") {
			name, text, _ := strings.Cut(t, "=")
			v.Content = append(v.Content, scalarOf(name), scalarOf(text))
		}
	default:
		v = *scalarOf(e.Value)
	}
	data, err := yaml.Marshal(&v)
	return strings.TrimSuffix(string(data), "\n"), err
}

package config

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// fileFlag is the flag that names the file.
const fileFlag = "config"

// fileVariable is the variable that names it, and is stronger.
const fileVariable = envPrefix + "CONFIG"

// A Source is where a configuration comes from: the file that --config or
// $PERDURE_CONFIG names, flags, and the environment, the weakest first.
type Source struct {
	// File is a YAML file, empty for none. The flag --config sets it, and [Source.Load]
	// where $PERDURE_CONFIG names another.
	File string
	// Environ is the environment; nil means that of the process.
	Environ []string
	// Server is the URL of NATS servers to connect to, whatever is configured: for who
	// looks at what a configuration describes, from elsewhere.
	Server string

	flags  map[string]string // what the flags of settings say, by key
	client bool              // it is of a client
}

// Flags adds the flag --config, and a flag for each setting that is no secret, to a
// set: that of a program that is to be configured like `perdure node`. The values are
// looked at by [Source.Load].
func Flags(fs *flag.FlagSet) *Source {
	s := &Source{flags: map[string]string{}}
	fs.StringVar(&s.File, fileFlag, "", "YAML `FILE` with settings; flags are stronger, and $"+envPrefix+"... are stronger than these")
	s.add(fs, func(*setting) bool { return true })
	return s
}

// ClientFlags adds the flag --config, and flags of how a client is connected
// (--namespace, --credentials-..., --tls-...), to a set: that of a program that is to be
// told where its nodes are by the file and the variables of these. Where to connect to is
// said by the file or by $PERDURE_URL; the program may have a flag of its own for it.
func ClientFlags(fs *flag.FlagSet) *Source {
	s := &Source{flags: map[string]string{}, client: true}
	fs.StringVar(&s.File, fileFlag, "", "YAML `FILE` of a node, or of a client: where NATS is, and as whom to connect; flags are stronger, and $"+envPrefix+"... are stronger than these")
	s.add(fs, func(set *setting) bool {
		return set.client && set.key != "url" && set.key != "listen" && set.key != "payload_cap"
	})
	return s
}

// add adds flags of settings to a set.
func (s *Source) add(fs *flag.FlagSet, has func(*setting) bool) {
	for i := range settings {
		if set := &settings[i]; set.flagName() != "" && has(set) {
			help := set.help
			if set.byDef != "" {
				help += " (default " + set.byDef + ")"
			}
			fs.Var(&flagValue{set, s}, set.flagName(), help)
		}
	}
}

// A flagValue keeps what a flag says until all are known.
type flagValue struct {
	setting *setting
	source  *Source
}

// Set keeps a text; of a flag that is there again, of a list, both.
func (v *flagValue) Set(text string) error {
	before, again := v.source.flags[v.setting.key]
	if again && (v.setting.form == list || v.setting.form == mapping) {
		text = before + "," + text
	}
	v.source.flags[v.setting.key] = text
	return nil
}

func (v *flagValue) String() string {
	if v == nil || v.setting == nil { // as the flag package asks for the zero value
		return ""
	}
	return v.source.flags[v.setting.key]
}

// IsBoolFlag lets a flag of true or false be without a value.
func (v *flagValue) IsBoolFlag() bool { return v.setting.form == truth }

// Load returns the configuration that is in force. The error is [Faults]: everything
// that is wrong with it. The configuration is returned all the same, without what is wrong.
func (s *Source) Load() (*Config, error) {
	c := &Config{origins: map[string]string{}}
	var faults Faults
	environ := s.Environ
	if environ == nil {
		environ = os.Environ()
	}
	env := map[string]string{}
	for _, v := range environ {
		if name, text, ok := strings.Cut(v, "="); ok && strings.HasPrefix(name, envPrefix) {
			env[name] = text
		}
	}
	if path := env[fileVariable]; path != "" {
		faults = faults.with(s.overruled(c, "--"+fileFlag, s.File, fileVariable, path))
		s.File = path
	}
	delete(env, fileVariable)
	if s.File != "" {
		faults = append(faults, c.readFile(s.File)...)
	}
	for i := range settings {
		set := &settings[i]
		if text, ok := s.flags[set.key]; ok {
			faults = faults.with(c.set(set, text, "--"+set.flagName()))
		}
		if text, ok := env[set.envName()]; ok && text != "" && (set.client || !s.client) { // an empty one sets nothing
			faults = faults.with(s.overruled(c, "--"+set.flagName(), s.flags[set.key], set.envName(), text))
			faults = faults.with(c.set(set, text, "$"+set.envName()))
		}
		delete(env, set.envName())
	}
	c.notes = append(c.notes, mistyped(env)...)
	check := c.checkClient
	switch {
	case s.Server != "":
		c.URL = s.Server
	case !s.client:
		check = c.check
		if c.Dir == "" && c.URL == "" {
			c.Dir = DefaultDir
		}
		c.notes = append(append(c.notes, c.unreached()...), c.even()...)
	}
	if faults = append(faults, check()...); len(faults) > 0 {
		return c, faults
	}
	return c, nil
}

// overruled says that a flag says one thing and a variable, which is stronger, another. Of a
// node it is a note; a command that is done once must not be done elsewhere than was typed.
func (s *Source) overruled(c *Config, flag, typed, variable, text string) *Fault {
	if typed == "" || typed == text {
		return nil
	}
	if variable == settingOf("url").envName() { // which may hold a secret
		typed, text = publicURL(typed), publicURL(text)
	}
	if s.client {
		return &Fault{Where: flag, Key: strings.TrimPrefix(flag, "--"), Found: typed, Wrong: fmt.Sprintf("$%s is %q, and a variable is stronger than a flag; leave one of them out, or empty: %[1]s= perdure ...", variable, text)}
	}
	c.notes = append(c.notes, fmt.Sprintf("$%s is %q, and stronger than %s, which is %q", variable, text, flag, typed))
	return nil
}

func (f Faults) with(more *Fault) Faults {
	if more == nil {
		return f
	}
	return append(f, *more)
}

// byDefault is where a value comes from that nobody has set.
const byDefault = "default"

// set sets a setting, and says what is wrong with the text.
func (c *Config) set(s *setting, text, where string) *Fault {
	if err := s.value.set(c, text); err != nil {
		f := &Fault{Where: where, Key: s.key, Found: text, Wrong: err.Error()}
		if s.secret || s.key == "url" { // which may hold one
			f.Found = ""
		}
		c.origins[s.key] = cmp.Or(c.origins[s.key], where) // somebody has meant it
		return f
	}
	c.origins[s.key] = where
	return nil
}

// mistyped are notes of environment variables that are none of a setting, and named much
// like one. Others may be somebody else's: Kubernetes sets some for each service.
func mistyped(env map[string]string) (notes []string) {
	var known []string
	for i := range settings {
		known = append(known, settings[i].envName())
	}
	known = append(known, fileVariable)
	for name := range env {
		for _, k := range known {
			if distance(name, k) == 1 {
				notes = append(notes, fmt.Sprintf("$%s is no setting; is $%s meant?", name, k))
			}
		}
	}
	slices.Sort(notes)
	return notes
}

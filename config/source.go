package config

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// fileFlag is the flag that names the file.
const fileFlag = "config"

// A Source is where a configuration comes from: the file that --config names, flags,
// and the environment, the weakest first.
type Source struct {
	// File is a YAML file, empty for none. The flag --config sets it.
	File string
	// Environ is the environment; nil means that of the process.
	Environ []string
	// Defaults are values of settings, by key, that are weaker than the file.
	Defaults map[string]string

	flags map[string]string // what the flags of settings say, by key
}

// Flags adds the flag --config, and a flag for each setting that is no secret, to a
// set: that of a program that is to be configured like `perdure node`. The values are
// looked at by [Source.Load].
func Flags(fs *flag.FlagSet) *Source {
	s := &Source{flags: map[string]string{}}
	fs.StringVar(&s.File, fileFlag, "", "YAML `FILE` with settings; flags are stronger, and $"+envPrefix+"... are stronger than these")
	for i := range settings {
		if set := &settings[i]; set.flagName() != "" {
			help := set.help
			if set.byDef != "" {
				help += " (default " + set.byDef + ")"
			}
			fs.Var(&flagValue{set, s}, set.flagName(), help)
		}
	}
	return s
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
	for i := range settings {
		if text, ok := s.Defaults[settings[i].key]; ok {
			if f := c.set(&settings[i], text, byDefault); f != nil {
				faults = append(faults, *f)
			}
		}
	}
	if s.File != "" {
		faults = append(faults, c.readFile(s.File)...)
	}
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
	for i := range settings {
		set := &settings[i]
		if text, ok := s.flags[set.key]; ok {
			faults = faults.with(c.set(set, text, "--"+set.flagName()))
		}
		if text, ok := env[set.envName()]; ok && text != "" { // an empty one sets nothing
			faults = faults.with(c.set(set, text, "$"+set.envName()))
		}
		delete(env, set.envName())
	}
	c.notes = mistyped(env)
	if c.Dir == "" && c.URL == "" {
		c.Dir = DefaultDir
	}
	if faults = append(faults, c.check()...); len(faults) > 0 {
		return c, faults
	}
	return c, nil
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

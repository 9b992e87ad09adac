package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/durable"
	"github.com/perdure/perdure/schemas"
)

// A form is how values of a setting look in a file.
type form int

const (
	scalar  form = iota // a text, a number
	truth               // true or false
	list                // of texts
	mapping             // of names to texts
)

// A value is where a setting's value is in a [Config]. set says what is wrong with a text, and
// what is allowed.
type value struct {
	form form
	set  func(c *Config, text string) error
	get  func(c *Config) string // empty: nobody has set it
}

// word is a text that check takes; nil takes any.
func word(at func(*Config) *string, check func(string) error) value {
	return value{
		set: func(c *Config, text string) error {
			if text == "" {
				return errors.New("it is empty; leave it out, or give it a value")
			}
			if check != nil {
				if err := check(text); err != nil {
					return err
				}
			}
			*at(c) = text
			return nil
		},
		get: func(c *Config) string { return *at(c) },
	}
}

// token is a name of which subjects are made.
func token(s string) error {
	if schemas.Kind(s).Validate() != nil {
		return errors.New("use letters, digits, '-' and '_'")
	}
	return nil
}

// hostPort is where something listens. least is the lowest port.
func hostPort(least uint64) func(string) error {
	return func(s string) error {
		_, port, err := net.SplitHostPort(s)
		if err != nil {
			return errors.New("use HOST:PORT, e.g. 127.0.0.1:4222, or [::1]:4222")
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n < least {
			return fmt.Errorf("use a port from %d to 65535", least)
		}
		return nil
	}
}

// oneOf is one of some words.
func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		allowed := "use " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
		if n := nearest(s, words); n != "" {
			allowed += fmt.Sprintf("; is %q meant?", n)
		}
		return errors.New(allowed)
	}
}

func address(s string) error { return CheckAddress(s) }

// whole is a number of at least least; what is put in place of 0 is zero.
func whole(at func(*Config) *int, least, most, zero int) value {
	return value{
		set: func(c *Config, text string) error {
			n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
			if err != nil || n < least || n > most {
				if most < 1<<31-1 {
					return fmt.Errorf("use a whole number from %d to %d", least, most)
				}
				return fmt.Errorf("use a whole number, at least %d", least)
			}
			if *at(c) = n; n == 0 {
				*at(c) = zero
			}
			return nil
		},
		get: func(c *Config) string {
			switch n := *at(c); n {
			case 0:
				return ""
			case zero:
				return "0"
			default:
				return strconv.Itoa(n)
			}
		},
	}
}

// span is a time of at least least.
func span(at func(*Config) *time.Duration, least time.Duration) value {
	return value{
		set: func(c *Config, text string) error {
			d, err := parseSpan(text)
			if err != nil {
				return err
			}
			if d < least {
				return fmt.Errorf("it is at least %s", spanText(least))
			}
			*at(c) = d
			return nil
		},
		get: func(c *Config) string {
			if *at(c) == 0 {
				return ""
			}
			return spanText(*at(c))
		},
	}
}

// parseSpan reads a time, in days, too.
func parseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("use a time with its unit, such as 30d, 36h, 90m, 10s or 500ms")
	}
	return d, nil
}

// spanText prints a time as people write it.
func spanText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// bytes is a size, at least 1.
func bytes(at func(*Config) *int64) value {
	return value{
		set: func(c *Config, text string) error {
			n, err := humanize.ParseBytes(text)
			if err != nil || n < 1 || n > 1<<40 {
				return errors.New("use a size such as 64MiB, 1GiB or 1048576, at least 1 byte")
			}
			*at(c) = int64(n)
			return nil
		},
		get: func(c *Config) string {
			n := *at(c)
			if n == 0 {
				return ""
			}
			text := strings.NewReplacer(" ", "", ".0", "").Replace(humanize.IBytes(uint64(n)))
			if back, err := humanize.ParseBytes(text); err != nil || back != uint64(n) {
				text = strconv.FormatInt(n, 10)
			}
			return text
		},
	}
}

func boolean(at func(*Config) *bool) value {
	return value{
		form: truth,
		set: func(c *Config, text string) (err error) {
			if *at(c), err = strconv.ParseBool(text); err != nil {
				return errors.New("use true or false")
			}
			return nil
		},
		get: func(c *Config) string {
			if !*at(c) {
				return ""
			}
			return "true"
		},
	}
}

// words are texts, separated by commas, each of which check takes.
func words(at func(*Config) *[]string, check func(string) error) value {
	return value{
		form: list,
		set: func(c *Config, text string) error {
			var all []string
			for w := range strings.SplitSeq(text, ",") {
				if w = strings.TrimSpace(w); w == "" {
					continue
				}
				if err := check(w); err != nil {
					return fmt.Errorf("%q: %w", w, err)
				}
				all = append(all, w)
			}
			if len(all) == 0 {
				return errors.New("it is empty; leave it out, or list something")
			}
			*at(c) = all
			return nil
		},
		get: func(c *Config) string { return strings.Join(*at(c), ",") },
	}
}

func durability(at func(*Config) *broker.Durability) value {
	check := oneOf(broker.Disk.String(), broker.Process.String(), broker.Quorum.String())
	return value{
		set: func(c *Config, text string) (err error) {
			if err := check(text); err != nil {
				return err
			}
			*at(c), err = broker.ParseDurability(text)
			return err
		},
		get: func(c *Config) string {
			if *at(c) == broker.Disk {
				return ""
			}
			return at(c).String()
		},
	}
}

// keep is how long runs that ended so are kept, as in failed=30d,cancelled=48h.
func keep(at func(*Config) *map[durable.Outcome]time.Duration) value {
	ends := oneOf(string(durable.Completed), string(durable.Failed), string(durable.Cancelled))
	return value{
		form: mapping,
		set: func(c *Config, text string) error {
			all := map[durable.Outcome]time.Duration{}
			for pair := range strings.SplitSeq(text, ",") {
				name, how, ok := strings.Cut(pair, "=")
				if !ok {
					return errors.New("use OUTCOME=TIME, separated by commas, e.g. failed=30d")
				}
				name = strings.TrimSpace(name)
				if err := ends(name); err != nil {
					return fmt.Errorf("how a run ends is not %q; %w", name, err)
				}
				d, err := parseSpan(strings.TrimSpace(how))
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				all[durable.Outcome(name)] = d
			}
			*at(c) = all
			return nil
		},
		get: func(c *Config) string {
			var all []string
			for name, d := range *at(c) {
				all = append(all, string(name)+"="+spanText(d))
			}
			slices.Sort(all)
			return strings.Join(all, ",")
		},
	}
}

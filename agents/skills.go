package agents

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/perdure/perdure/durable"
)

// Bounds of skills: of a file that a model reads, in bytes, and of how many further files
// a skill may have.
const (
	maxSkillFile  = 256 << 10
	maxSkillFiles = 1000
)

// readSkill is the name of the tool that [Skills] gives an agent.
const readSkill = "read_skill"

// A skill is a folder with a file SKILL.md.
type skill struct {
	skillHead
	dir   string
	files []string // beside SKILL.md, by their paths below dir
}

// skillHead is the front matter of a SKILL.md, as far as it is of use here. It may have
// more.
type skillHead struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
}

// skillName is what a skill may be called.
var skillName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Skills gives the agent the skills in a folder of a file system, of an [embed.FS] for
// instance; "." is all of it. Each folder in it that has a file SKILL.md is one, in the form that is published as Agent
// Skills (agentskills.io): front matter with name, which is the folder's, and description,
// and behind it what the model is to know. The model is told names and descriptions alone,
// and reads a skill, or one of the further files of its folder, with the tool read_skill
// when it wants to. Each reading is a step: a run goes on with what it has read, whatever
// becomes of the files. Scripts are read like other files, and not executed. What is wrong
// with a skill is reported when a node is opened with the agent.
func Skills(fsys fs.FS, dir string) Option {
	return func(a *agent) {
		fsys, err := fs.Sub(fsys, dir)
		var skills []skill
		if err == nil {
			skills, err = findSkills(fsys)
		}
		if err != nil {
			a.bad("skills: %v", err)
			return
		}
		Tools(skillTool(fsys, skills))(a)
	}
}

// findSkills returns the skills of a file system, by name.
func findSkills(fsys fs.FS) ([]skill, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	var skills []skill
	var errs []error
	for _, e := range entries {
		s, err := findSkill(fsys, e.Name())
		switch {
		case errors.Is(err, errNoSkill):
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", path.Join(e.Name(), "SKILL.md"), err))
		default:
			skills = append(skills, s)
		}
	}
	if len(skills) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("no folder in it has a file SKILL.md; give the folder that holds those of the skills"))
	}
	return skills, errors.Join(errs...)
}

// errNoSkill is a folder without a SKILL.md, or a file.
var errNoSkill = errors.New("no skill")

func findSkill(fsys fs.FS, dir string) (s skill, err error) {
	data, err := fs.ReadFile(fsys, path.Join(dir, "SKILL.md"))
	if err != nil {
		return s, errNoSkill
	}
	if s.skillHead, _, err = parseSkill(data); err != nil {
		return s, err
	}
	if s.Name != dir {
		return s, fmt.Errorf("its name is %q; a skill has the name of its folder, %q", s.Name, dir)
	}
	s.dir = dir
	err = fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == path.Join(dir, "SKILL.md") {
			return err
		}
		if s.files = append(s.files, strings.TrimPrefix(name, dir+"/")); len(s.files) > maxSkillFiles {
			return fmt.Errorf("it has more than %d files beside it; take out what no model is to read", maxSkillFiles)
		}
		return nil
	})
	return s, err
}

// parseSkill reads a SKILL.md.
func parseSkill(data []byte) (head skillHead, body string, err error) {
	if len(data) > maxSkillFile {
		return head, "", fmt.Errorf("it has %d bytes; a model reads files up to %d: put details into further files beside it", len(data), maxSkillFile)
	}
	if !utf8.Valid(data) {
		return head, "", errors.New("it is no text in UTF-8")
	}
	if body, err = frontMatter(data, &head, false); err != nil {
		return head, "", err
	}
	switch n := utf8.RuneCountInString(head.Description); {
	case head.Name == "":
		return head, "", errors.New("its front matter has no name; begin the file with a line of ---, name: and description:, and another line of ---")
	case len(head.Name) > 64 || !skillName.MatchString(head.Name):
		return head, "", fmt.Errorf("its name is %.80q; use 1 to 64 of a-z, 0-9, and - between them", head.Name)
	case strings.TrimSpace(head.Description) == "":
		return head, "", errors.New("its front matter has no description; say what the skill does, and when to use it")
	case n > 1024:
		return head, "", fmt.Errorf("its description has %d characters; it may have 1024: every request has it", n)
	case body == "":
		return head, "", errors.New("there is nothing behind its front matter; write what the model is to know")
	}
	return head, body, nil
}

// skillTool makes the tool by which a model reads skills.
func skillTool(fsys fs.FS, skills []skill) Tool {
	var b strings.Builder
	b.WriteString("Reads a skill: how to do something well. Read it before you do what it is for. The skills are:")
	for _, s := range skills {
		fmt.Fprintf(&b, "\n- %s: %s", s.Name, strings.Join(strings.Fields(s.Description), " "))
	}
	return Func(readSkill, b.String(), func(_ context.Context, in struct {
		Skill string `json:"skill" jsonschema:"the skill's name"`
		File  string `json:"file,omitempty" jsonschema:"one of the skill's further files, as it names them; without it, the skill itself"`
	},
	) (string, error) {
		i := slices.IndexFunc(skills, func(s skill) bool { return s.Name == in.Skill })
		if i < 0 {
			var names []string
			for _, s := range skills {
				names = append(names, s.Name)
			}
			return "", durable.Fail(durable.ErrNotFound.Code, "there is no skill %.100q; there are: %s", in.Skill, strings.Join(names, ", "))
		}
		return skills[i].read(fsys, in.File)
	})
}

// read returns a file of a skill; with an empty name the skill itself.
func (s skill) read(fsys fs.FS, file string) (string, error) {
	if file == "" || file == "SKILL.md" {
		data, err := fs.ReadFile(fsys, path.Join(s.dir, "SKILL.md"))
		if err != nil {
			return "", err
		}
		_, body, err := parseSkill(data)
		if err != nil {
			return "", durable.Fail(durable.ErrInvalid.Code, "the skill %s: %v", s.Name, err)
		}
		if len(s.files) > 0 {
			body += "\n\nFurther files of this skill: " + strings.Join(s.files, ", ")
		}
		return body, nil
	}
	if !slices.Contains(s.files, path.Clean(file)) { // so it is below the folder, too
		have := "none"
		if len(s.files) > 0 {
			have = strings.Join(s.files, ", ")
		}
		return "", durable.Fail(durable.ErrNotFound.Code, "the skill %s has no file %.100q; it has: %s", s.Name, file, have)
	}
	data, err := fs.ReadFile(fsys, path.Join(s.dir, path.Clean(file)))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxSkillFile:
		return "", durable.Fail(durable.ErrTooLarge.Code, "the file %s of the skill %s has %d bytes; %d can be read", file, s.Name, len(data), maxSkillFile)
	case !utf8.Valid(data):
		return "", durable.Fail(durable.ErrInvalid.Code, "the file %s of the skill %s is no text", file, s.Name)
	}
	return string(data), nil
}

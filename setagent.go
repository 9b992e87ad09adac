package perdure

import (
	"context"
	"encoding/json"

	"github.com/perdure/perdure/agents"
	"github.com/perdure/perdure/durable"
)

// SetAgent puts settings of an agent in force, in place of those that are, on all nodes
// that host it and without a restart: the next model call of each run goes by them, and the
// run's journal says so. Zero settings are those of the code. They are checked by the code of
// a node: the error matches [durable.ErrInvalid] for a model that the agent does not have or
// instructions that are no template, and [durable.ErrUnavailable] if no node has the agent.
// A node whose code is another one, and which cannot put them in force, keeps what it has,
// logs a warning and says so in [Client.Agent].
func (c *Client) SetAgent(ctx context.Context, agent string, s agents.Settings, why Why) (*SettingsVersion, error) {
	return c.SetAgentAfter(ctx, agent, 0, s, why)
}

// SetAgentAfter is [Client.SetAgent] if a version is in force, of which the settings are
// a change. The error matches [durable.ErrConflict] if another one is.
func (c *Client) SetAgentAfter(ctx context.Context, agent string, after uint64, s agents.Settings, why Why) (*SettingsVersion, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, durable.Fail(durable.ErrInvalid.Code, "settings of %s: %v", agent, err)
	}
	return c.setAgent(ctx, setRequest{Agent: agent, Settings: data, After: after, Why: why})
}

// RollbackAgent puts the settings of an earlier version in force again, as another
// version. The error matches [durable.ErrNotFound] if it is kept no more.
func (c *Client) RollbackAgent(ctx context.Context, agent string, version uint64, why Why) (*SettingsVersion, error) {
	if version == 0 {
		return nil, durable.Fail(durable.ErrInvalid.Code, "versions of settings are numbered from 1; for those of the code, set none")
	}
	return c.setAgent(ctx, setRequest{Agent: agent, Version: version, Why: why})
}

func (c *Client) setAgent(ctx context.Context, in setRequest) (*SettingsVersion, error) {
	var set SettingsVersion
	if err := c.do(ctx, "agents.set", in, &set); err != nil {
		return nil, err
	}
	return &set, nil
}

// Agent returns what is set for an agent, and which of its nodes have it in force. The
// error matches [durable.ErrNotFound] if no node hosts it and nothing was ever set for it.
func (c *Client) Agent(ctx context.Context, agent string) (*AgentInfo, error) {
	var info AgentInfo
	if err := c.read(ctx, "agents.get", agentRequest{agent}, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

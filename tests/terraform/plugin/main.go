// A Terraform provider that has a schema and does nothing: what OpenTofu needs to validate a module, to run its tests
// with mock_provider, and to plan against a state that was written by hand, where the real provider cannot be had.
//
// EGRET_PROVIDER_SCHEMA names the JSON file with the schema, as egret_terraform/provider.py writes it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type attribute struct {
	Name     string          `json:"name"`
	Type     json.RawMessage `json:"type"`
	Required bool            `json:"required"`
	Optional bool            `json:"optional"`
	Computed bool            `json:"computed"`
}

type block struct {
	Attributes []attribute `json:"attributes"`
	Blocks     []nested    `json:"blocks"`
}

type nested struct {
	Name    string `json:"name"`
	Nesting string `json:"nesting"` // list, set or single
	Min     int64  `json:"min"`
	Max     int64  `json:"max"` // 0: any number
	Block   block  `json:"block"`
}

type schemas struct {
	Address   string           `json:"address"`
	Provider  block            `json:"provider"`
	Resources map[string]block `json:"resources"`
	Data      map[string]block `json:"data"`
}

var nestings = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"list":   tfprotov5.SchemaNestedBlockNestingModeList,
	"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
}

func (from block) schema() (*tfprotov5.SchemaBlock, error) {
	made := &tfprotov5.SchemaBlock{}
	for _, attribute := range from.Attributes {
		kind, err := tftypes.ParseJSONType(attribute.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", attribute.Name, err)
		}
		made.Attributes = append(made.Attributes, &tfprotov5.SchemaAttribute{
			Name:     attribute.Name,
			Type:     kind,
			Required: attribute.Required,
			Optional: attribute.Optional,
			Computed: attribute.Computed,
		})
	}
	for _, inner := range from.Blocks {
		nesting, known := nestings[inner.Nesting]
		if !known {
			return nil, fmt.Errorf("%s: no nesting %q", inner.Name, inner.Nesting)
		}
		schema, err := inner.Block.schema()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", inner.Name, err)
		}
		made.BlockTypes = append(made.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: inner.Name,
			Nesting:  nesting,
			MinItems: inner.Min,
			MaxItems: inner.Max,
			Block:    schema,
		})
	}
	return made, nil
}

func all(from map[string]block) (map[string]*tfprotov5.Schema, error) {
	made := map[string]*tfprotov5.Schema{}
	for name, inner := range from {
		schema, err := inner.schema()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		made[name] = &tfprotov5.Schema{Block: schema}
	}
	return made, nil
}

// What is not defined here is what a validation, a mocked run and a plan never call: it would end the process.
type server struct {
	tfprotov5.ProviderServer
	response tfprotov5.GetProviderSchemaResponse
}

func (s *server) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	return &tfprotov5.GetMetadataResponse{}, nil
}

func (s *server) GetProviderSchema(
	context.Context, *tfprotov5.GetProviderSchemaRequest,
) (*tfprotov5.GetProviderSchemaResponse, error) {
	return &s.response, nil
}

func (s *server) PrepareProviderConfig(
	_ context.Context, request *tfprotov5.PrepareProviderConfigRequest,
) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (s *server) ValidateResourceTypeConfig(
	context.Context, *tfprotov5.ValidateResourceTypeConfigRequest,
) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (s *server) ValidateDataSourceConfig(
	context.Context, *tfprotov5.ValidateDataSourceConfigRequest,
) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

// What mocks have made is read back from the state.
func (s *server) UpgradeResourceState(
	_ context.Context, request *tfprotov5.UpgradeResourceStateRequest,
) (*tfprotov5.UpgradeResourceStateResponse, error) {
	kind := s.response.ResourceSchemas[request.TypeName].ValueType()
	value, err := request.RawState.Unmarshal(kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", request.TypeName, err)
	}
	state, err := tfprotov5.NewDynamicValue(kind, value)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &state}, err
}

func (s *server) ConfigureProvider(
	context.Context, *tfprotov5.ConfigureProviderRequest,
) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

// All is as the state says.
func (s *server) ReadResource(
	_ context.Context, request *tfprotov5.ReadResourceRequest,
) (*tfprotov5.ReadResourceResponse, error) {
	return &tfprotov5.ReadResourceResponse{NewState: request.CurrentState, Private: request.Private}, nil
}

// What the configuration asks for: no change makes a new resource necessary.
func (s *server) PlanResourceChange(
	_ context.Context, request *tfprotov5.PlanResourceChangeRequest,
) (*tfprotov5.PlanResourceChangeResponse, error) {
	return &tfprotov5.PlanResourceChangeResponse{
		PlannedState:   request.ProposedNewState,
		PlannedPrivate: request.PriorPrivate,
	}, nil
}

func (s *server) StopProvider(
	context.Context, *tfprotov5.StopProviderRequest,
) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func load(path string) (string, *server, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", nil, fmt.Errorf("EGRET_PROVIDER_SCHEMA: %w", err)
	}
	var read schemas
	if err := json.Unmarshal(text, &read); err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	made := &server{}
	provider, err := read.Provider.schema()
	if err != nil {
		return "", nil, fmt.Errorf("%s: provider: %w", path, err)
	}
	made.response.Provider = &tfprotov5.Schema{Block: provider}
	if made.response.ResourceSchemas, err = all(read.Resources); err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	if made.response.DataSourceSchemas, err = all(read.Data); err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	return read.Address, made, nil
}

func main() {
	address, made, err := load(os.Getenv("EGRET_PROVIDER_SCHEMA"))
	if err == nil {
		err = tf5server.Serve(address, func() tfprotov5.ProviderServer { return made })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

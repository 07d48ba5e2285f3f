package patch

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// tree decodes JSON as the package's callers do.
func tree(t testing.TB, text string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	return value
}

// TestMerge is the table of RFC 7396 appendix A, and its example of §3.
func TestMerge(t *testing.T) {
	for _, tt := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{
			`{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"}`,
			`{"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]}`,
			`{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"This will be unchanged","phoneNumber":"+01-123-456-7890"}`,
		},
	} {
		target, before := tree(t, tt.target), tree(t, tt.target)
		if got := Merge(target, tree(t, tt.patch)); !reflect.DeepEqual(got, tree(t, tt.want)) {
			t.Errorf("Merge(%s, %s) = %s, want %s", tt.target, tt.patch, short(got), tt.want)
		}
		if !reflect.DeepEqual(target, before) {
			t.Errorf("Merge(%s, %s) changed its target", tt.target, tt.patch)
		}
	}
}

// TestApply is RFC 6902 appendix A, the pointers of RFC 6901 §5, and what the
// text of both demands beside.
func TestApply(t *testing.T) {
	const pointers = `{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}`
	for _, tt := range []struct{ name, doc, patch, want string }{
		{"A.1 add a member", `{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`, `{"baz":"qux","foo":"bar"}`},
		{"A.2 add an item", `{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`, `{"foo":["bar","qux","baz"]}`},
		{"A.3 remove a member", `{"baz":"qux","foo":"bar"}`, `[{"op":"remove","path":"/baz"}]`, `{"foo":"bar"}`},
		{"A.4 remove an item", `{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`, `{"foo":["bar","baz"]}`},
		{"A.5 replace", `{"baz":"qux","foo":"bar"}`, `[{"op":"replace","path":"/baz","value":"boo"}]`, `{"baz":"boo","foo":"bar"}`},
		{"A.6 move a value", `{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}`,
			`[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]`,
			`{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}`},
		{"A.7 move an item", `{"foo":["all","grass","cows","eat"]}`, `[{"op":"move","from":"/foo/1","path":"/foo/3"}]`, `{"foo":["all","cows","eat","grass"]}`},
		{"A.8 test", `{"baz":"qux","foo":["a",2,"c"]}`, `[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]`, `{"baz":"qux","foo":["a",2,"c"]}`},
		{"A.10 add a nested object", `{"foo":"bar"}`, `[{"op":"add","path":"/child","value":{"grandchild":{}}}]`, `{"foo":"bar","child":{"grandchild":{}}}`},
		{"A.11 ignore unknown members", `{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","xyz":123}]`, `{"foo":"bar","baz":"qux"}`},
		{"A.14 escapes", `{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":10}]`, `{"/":9,"~1":10}`},
		{"A.16 append", `{"foo":["bar"]}`, `[{"op":"add","path":"/foo/-","value":["abc","def"]}]`, `{"foo":["bar",["abc","def"]]}`},
		{"add replaces a member", `{"a":1}`, `[{"op":"add","path":"/a","value":null}]`, `{"a":null}`},
		{"add the whole", `{"a":1}`, `[{"op":"add","path":"","value":[1]}]`, `[1]`},
		{"add at the end by index", `[1]`, `[{"op":"add","path":"/1","value":2}]`, `[1,2]`},
		{"copy", `{"a":{"b":[1]}}`, `[{"op":"copy","from":"/a","path":"/c"},{"op":"add","path":"/c/b/-","value":2}]`, `{"a":{"b":[1]},"c":{"b":[1,2]}}`},
		{"copy into itself", `{"a":{}}`, `[{"op":"copy","from":"/a","path":"/a/b"}]`, `{"a":{"b":{}}}`},
		{"move to where it is", `{"a":1}`, `[{"op":"move","from":"/a","path":"/a"}]`, `{"a":1}`},
		{"numbers are equal by value", `{"a":1.0}`, `[{"op":"test","path":"/a","value":1}]`, `{"a":1.0}`},
		{"objects are equal in any order", `{"a":{"b":1,"c":2}}`, `[{"op":"test","path":"/a","value":{"c":2,"b":1}}]`, `{"a":{"b":1,"c":2}}`},
		{"no operations", `{"a":1}`, `[]`, `{"a":1}`},
		{"every pointer of RFC 6901", pointers, `[
			{"op":"test","path":"/foo","value":["bar","baz"]},{"op":"test","path":"/foo/0","value":"bar"},
			{"op":"test","path":"/","value":0},{"op":"test","path":"/a~1b","value":1},
			{"op":"test","path":"/c%d","value":2},{"op":"test","path":"/e^f","value":3},
			{"op":"test","path":"/g|h","value":4},{"op":"test","path":"/i\\j","value":5},
			{"op":"test","path":"/k\"l","value":6},{"op":"test","path":"/ ","value":7},
			{"op":"test","path":"/m~0n","value":8}]`, pointers},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc, before := tree(t, tt.doc), tree(t, tt.doc)
			operations, err := Parse(tree(t, tt.patch))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Apply(doc, operations)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tree(t, tt.want)) {
				t.Errorf("got %s, want %s", short(got), tt.want)
			}
			if !reflect.DeepEqual(doc, before) {
				t.Errorf("the document was changed to %s", short(doc))
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	for _, tt := range []struct{ name, doc, patch, want string }{
		{"A.9 test that fails", `{"baz":"qux"}`, `[{"op":"test","path":"/baz","value":"bar"}]`,
			`operation 0 (test /baz): the value is "qux", not "bar"`},
		{"A.12 add below nothing", `{"foo":"bar"}`, `[{"op":"add","path":"/baz/bat","value":"qux"}]`,
			`operation 0 (add /baz/bat): /baz does not exist`},
		{"A.15 strings are not numbers", `{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":"10"}]`,
			`operation 0 (test /~01): the value is 10, not "10"`},
		{"remove nothing", `{}`, `[{"op":"remove","path":"/a"}]`, `operation 0 (remove /a): /a does not exist`},
		{"replace nothing", `{}`, `[{"op":"replace","path":"/a","value":1}]`, `operation 0 (replace /a): /a does not exist`},
		{"copy nothing", `{}`, `[{"op":"copy","from":"/a","path":"/b"}]`, `operation 0 (copy /b): /a does not exist`},
		{"move into itself", `{"a":{}}`, `[{"op":"move","from":"/a","path":"/a/b"}]`, `operation 0 (move /a/b): /a cannot be moved into itself`},
		{"below a scalar", `{"a":1}`, `[{"op":"add","path":"/a/b","value":1}]`, `operation 0 (add /a/b): "/a" is neither an object nor a list`},
		{"beyond the end", `[1]`, `[{"op":"add","path":"/2","value":1}]`, `operation 0 (add /2): /2: index 2 is beyond the end of the list`},
		{"remove past the end", `[1]`, `[{"op":"remove","path":"/-"}]`, `operation 0 (remove /-): /-: "-" is not the index of a list`},
		{"leading zero", `[1,2]`, `[{"op":"test","path":"/01","value":2}]`, `operation 0 (test /01): /01: "01" is not the index of a list`},
		{"sign", `[1,2]`, `[{"op":"test","path":"/+1","value":2}]`, `operation 0 (test /+1): /+1: "+1" is not the index of a list`},
		{"remove the whole", `{}`, `[{"op":"remove","path":""}]`, `operation 0 (remove ): the whole document cannot be removed`},
		{"all or nothing", `{"a":1}`, `[{"op":"remove","path":"/a"},{"op":"remove","path":"/a"}]`, `operation 1 (remove /a): /a does not exist`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			operations, err := Parse(tree(t, tt.patch))
			if err != nil {
				t.Fatal(err)
			}
			doc, before := tree(t, tt.doc), tree(t, tt.doc)
			if _, err := Apply(doc, operations); err == nil || err.Error() != tt.want {
				t.Errorf("got error %v, want %s", err, tt.want)
			}
			if !reflect.DeepEqual(doc, before) {
				t.Errorf("the document was changed to %s", short(doc))
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ patch, want string }{
		{`{}`, `a JSON patch is a list of operations`},
		{`[1]`, `operation 0: not an object`},
		{`[{"path":"/a"}]`, `operation 0: needs "op" as a string`},
		{`[{"op":"add","value":1}]`, `operation 0: needs "path" as a string`},
		{`[{"op":"add","path":"/a"}]`, `operation 0: add needs a value`},
		{`[{"op":"move","path":"/a"}]`, `operation 0: needs "from" as a string`},
		{`[{"op":"merge","path":"/a"}]`, `operation 0: unknown op "merge" (add, remove, replace, move, copy, test)`},
		{`[{"op":"remove","path":"a"}]`, `operation 0: pointer "a" does not begin with /`},
		{`[{"op":"remove","path":"/a~2"}]`, `operation 0: pointer "/a~2" has a ~ that is neither ~0 nor ~1`},
		{`[{"op":"remove","path":"/a~"}]`, `operation 0: pointer "/a~" has a ~ that is neither ~0 nor ~1`},
		{`[{"op":"remove","path":"/~~01"}]`, `operation 0: pointer "/~~01" has a ~ that is neither ~0 nor ~1`},
	} {
		if _, err := Parse(tree(t, tt.patch)); err == nil || err.Error() != tt.want {
			t.Errorf("Parse(%s): got error %v, want %s", tt.patch, err, tt.want)
		}
	}
}

// FuzzApply checks that no patch panics, changes its document, or gives a tree
// that is no JSON.
func FuzzApply(f *testing.F) {
	f.Add(`{"a":[1,{"b":2}]}`, `[{"op":"move","from":"/a/1","path":"/c"},{"op":"add","path":"/a/-","value":3}]`)
	f.Add(`[1]`, `[{"op":"test","path":"/0","value":1e0}]`)
	f.Add(`{}`, `[{"op":"add","path":"/~0~1","value":null}]`)
	f.Fuzz(func(t *testing.T, document, patch string) {
		var doc, list any
		if json.Unmarshal([]byte(document), &doc) != nil || json.Unmarshal([]byte(patch), &list) != nil {
			t.Skip()
		}
		doc, list = tree(t, document), tree(t, patch)
		merged := Merge(doc, list)
		operations, err := Parse(list)
		if err != nil {
			return
		}
		patched, err := Apply(doc, operations)
		if err != nil {
			return
		}
		for _, out := range []any{merged, patched} {
			if _, err := json.Marshal(out); err != nil {
				t.Fatalf("not JSON: %v", err)
			}
		}
		if !reflect.DeepEqual(doc, tree(t, document)) {
			t.Fatal("the document was changed")
		}
	})
}

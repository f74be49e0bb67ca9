// Go's net/http, as an application in a container uses it.
// `calls ask HOST PROMPT` makes the same call twice; `calls trust URL...` says of each server whether it is trusted.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

type answer struct {
	Status int    `json:"status"`
	Cache  string `json:"cache"`
	Said   string `json:"said"`
}

type body struct {
	Choices []struct {
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
	} `json:"choices"`
}

func ask(host, prompt string) (answer, error) {
	chat, _ := json.Marshal(map[string]any{
		"model": "gpt-4o-mini", "temperature": 0,
		"messages": []map[string]string{{"role": "user", "content": prompt}},
	})
	call, err := http.NewRequest("POST", "https://"+host+"/v1/chat/completions", bytes.NewReader(chat))
	if err != nil {
		return answer{}, err
	}
	call.Header.Set("authorization", "Bearer sk-test")
	call.Header.Set("content-type", "application/json")
	response, err := http.DefaultClient.Do(call)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	var told body
	if err := json.NewDecoder(response.Body).Decode(&told); err != nil {
		return answer{}, err
	}
	return answer{response.StatusCode, response.Header.Get("x-skinflint-cache"), told.Choices[0].Message.Content}, nil
}

func judged(url string) string {
	response, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	response.Body.Close()
	return "trusted"
}

func main() {
	if os.Args[1] == "trust" {
		judgements := []string{}
		for _, url := range os.Args[2:] {
			judgements = append(judgements, judged(url))
		}
		json.NewEncoder(os.Stdout).Encode(judgements)
		return
	}
	answers := []answer{}
	for range [2]int{} {
		made, err := ask(os.Args[2], os.Args[3])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		answers = append(answers, made)
	}
	json.NewEncoder(os.Stdout).Encode(answers)
}

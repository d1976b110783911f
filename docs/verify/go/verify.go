// Verifies mandates with go-jose. One mandate a line on stdin; a line for each on stdout.
//
//	verify JWKS_FILE ISSUER AUDIENCE
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const leewaySeconds = 5

type mandate struct {
	Iss  string          `json:"iss"`
	Aud  string          `json:"aud"`
	Sub  string          `json:"sub"`
	Act  string          `json:"act"`
	Con  json.RawMessage `json:"con"`
	Leg  json.RawMessage `json:"leg"`
	Tier string          `json:"tier"`
	Pol  string          `json:"pol"`
	Req  string          `json:"req"`
	Jti  string          `json:"jti"`
	Iat  int64           `json:"iat"`
	Nbf  int64           `json:"nbf"`
	Exp  int64           `json:"exp"`
	Cnf  json.RawMessage `json:"cnf"`
}

func verify(compact string, keys jose.JSONWebKeySet, issuer, audience string) (*mandate, error) {
	// One spelling only: other bits in the last letter would be the same bytes, and another text.
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, errors.New("not three parts")
	}
	for _, part := range parts {
		content, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || base64.RawURLEncoding.EncodeToString(content) != part {
			return nil, errors.New("not canonical base64url")
		}
	}
	var header map[string]any
	encoded, _ := base64.RawURLEncoding.DecodeString(parts[0])
	if err := json.Unmarshal(encoded, &header); err != nil {
		return nil, err
	}
	if len(header) != 3 || header["alg"] != "EdDSA" || header["typ"] != "poa+jwt" {
		return nil, errors.New("unknown header")
	}
	// The algorithm is ours to say, never what the header says.
	signed, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, err
	}
	found := keys.Key(signed.Signatures[0].Protected.KeyID)
	if len(found) != 1 {
		return nil, errors.New("unknown key")
	}
	payload, err := signed.Verify(found[0].Key)
	if err != nil {
		return nil, err
	}
	var claims mandate
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, err
	}
	now := time.Now().Unix()
	switch {
	case claims.Iss != issuer || claims.Aud != audience:
		return nil, errors.New("of somebody else, or for somebody else")
	case claims.Nbf == 0 || now+leewaySeconds < claims.Nbf || now-leewaySeconds >= claims.Exp:
		return nil, errors.New("not good now")
	case claims.Iat == 0 || claims.Sub == "" || claims.Act == "" || claims.Tier == "" || claims.Pol == "" ||
		claims.Req == "" || claims.Jti == "" || claims.Con == nil || claims.Leg == nil || claims.Cnf == nil:
		return nil, errors.New("a claim is missing")
	}
	// Whoever brings it must hold the key that cnf names (RFC 8705, RFC 9449), and it works once: keep each jti.
	return &claims, nil
}

func main() {
	var keys jose.JSONWebKeySet
	content, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(content, &keys)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if claims, err := verify(lines.Text(), keys, os.Args[2], os.Args[3]); err != nil {
			fmt.Println("refused", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("valid", claims.Sub, claims.Act)
		}
	}
}

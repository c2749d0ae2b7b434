package identity

// A throw-away key, as openssl writes it.
const (
	opensslKey = "15f487548ef2c1abd0b5922d2588a25c4fbe65b73f3928a9fc45fbd95d5612df"

	opensslSEC1 = `-----BEGIN EC PARAMETERS-----
BgUrgQQACg==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHQCAQEEIBX0h1SO8sGr0LWSLSWIolxPvmW3PzkoqfxF+9ldVhLfoAcGBSuBBAAK
oUQDQgAEFhaNzBxd7/5NX5+8MmDgEm2xf7t+vn38Yfv1vtXtxmnabjiH10B2gr+/
T2o6kjSkoWcW2vfCZXFpLerCCa7hpw==
-----END EC PRIVATE KEY-----
`

	opensslPKCS8 = `-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgFfSHVI7ywavQtZItJYii
XE++Zbc/OSip/EX72V1WEt+hRANCAAQWFo3MHF3v/k1fn7wyYOASbbF/u36+ffxh
+/W+1e3GadpuOIfXQHaCv79PajqSNKShZxba98JlcWkt6sIJruGn
-----END PRIVATE KEY-----
`
)

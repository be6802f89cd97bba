module post-json

go 1.24

require flagpost v0.0.0

replace flagpost => ../../../plugins/sdk/go

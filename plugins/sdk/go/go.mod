module flagpost

go 1.24

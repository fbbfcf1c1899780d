"""Attribution of what a server does, from the requests that it answers; one file for each kind of server."""

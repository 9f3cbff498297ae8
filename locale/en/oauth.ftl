# What somebody reads whom a service sends here to seal an action (docs/services.md).
oauth-title = Waiting for the key
oauth-service = Service:
oauth-pending = Your agent asks you to seal this action. Read it, then touch your key.
oauth-used = This request was used already. Go back to the service.
oauth-decided = It is decided. Going back to the service…
oauth-here = Without an agent: read and seal the action in this browser
oauth-go-on = It is sealed: go on
oauth-back = Back to the service
oauth-used-title = Request used already
oauth-nothing-title = Nothing to seal here
oauth-nothing = This request is not known, was used already, or its time is over. Go back to the service and start again.

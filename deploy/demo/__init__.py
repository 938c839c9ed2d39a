"""Two tenants memorize documents of their own and answer questions, through Ray, in minutes."""

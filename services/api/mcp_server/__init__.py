"""Memory for agents, in the Model Context Protocol over streamable HTTP."""

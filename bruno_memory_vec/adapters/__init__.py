"""The memory behind other frameworks' own interfaces, each imported by its name.

``opened``: a memory that is used from coroutines and from plain functions, of any thread;
``buddy``: Buddy AI's memory databases; ``langgraph``: LangGraph's store;
``langchain``: a retriever and a chat history; ``llama_index``: a memory block and a retriever;
``recalling``: what retrievers share;
``langchain_embeddings``: a model of LangChain as an embedder; ``openai_agents``: a session of the
OpenAI Agents SDK; ``pydantic_ai``: a toolset of Pydantic AI; ``crewai``: a storage of CrewAI.
"""
